-- Takes a log over for a new writer; creates it when there is none.
--
-- KEYS[1] meta hash   KEYS[2] stream   KEYS[3] index of the pkgbase   KEYS[4] times
-- ARGV[1] builder name   ARGV[2] job timestamp (ms)   ARGV[3] retention (ms)
--
-- Result: {token, size}. The token is larger than every earlier one of this
-- log; size is where the new writer goes on.
local token = redis.call('HINCRBY', KEYS[1], 'token', 1)
local now = redis.call('TIME')
redis.call('HDEL', KEYS[1], 'status', 'ended')
redis.call('HSETNX', KEYS[1], 'size', 0)
redis.call('HSETNX', KEYS[1], 'started', string.format('%d', now[1] * 1000 + math.floor(now[2] / 1000)))
redis.call('HSET', KEYS[1], 'builder', ARGV[1])
redis.call('ZADD', KEYS[3], ARGV[2], ARGV[2])
for i = 1, 4 do
  redis.call('PEXPIRE', KEYS[i], ARGV[3])
end
return {token, tonumber(redis.call('HGET', KEYS[1], 'size'))}
