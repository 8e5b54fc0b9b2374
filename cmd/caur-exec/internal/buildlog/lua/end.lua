-- Marks a log as finished. Calling it again changes nothing.
--
-- KEYS[1] meta hash   KEYS[2] stream   KEYS[3] index of the pkgbase   KEYS[4] times
-- ARGV[1] token   ARGV[2] status (number of executor.md section 1)   ARGV[3] retention (ms)
--
-- Result: 1 marked; -1 another writer has taken over; -2 there is no such log.
local meta = redis.call('HMGET', KEYS[1], 'token', 'size', 'status')
if not meta[1] then return -2 end
if meta[1] ~= ARGV[1] then return -1 end
if meta[3] then return 1 end
local now = redis.call('TIME')
redis.call('XADD', KEYS[2], string.format('%d-%d', tonumber(meta[2]) + 1, 2 * tonumber(ARGV[1]) + 1), 'e', ARGV[2])
redis.call('HSET', KEYS[1], 'status', ARGV[2], 'ended',
  string.format('%d', now[1] * 1000 + math.floor(now[2] / 1000)))
for i = 1, 4 do
  redis.call('PEXPIRE', KEYS[i], ARGV[3])
end
return 1
