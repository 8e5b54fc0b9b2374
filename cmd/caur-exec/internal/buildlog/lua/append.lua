-- Adds one chunk. Calling it again with the same arguments adds nothing.
--
-- KEYS[1] meta hash   KEYS[2] stream   KEYS[3] index of the pkgbase   KEYS[4] times
-- ARGV[1] token   ARGV[2] offset   ARGV[3] bytes of the chunk before compression
-- ARGV[4] field: "d" plain, "z" zstd   ARGV[5] data   ARGV[6] retention (ms)
--
-- Result: {code, size}. Codes: 1 stored; 0 the log ends elsewhere, at size
-- (Redis came back with older data); -1 another writer has taken over;
-- -2 there is no such log.
local meta = redis.call('HMGET', KEYS[1], 'token', 'size', 'mark', 'marks')
if not meta[1] then return {-2, 0} end
if meta[1] ~= ARGV[1] then return {-1, 0} end
local size = tonumber(meta[2])
local offset = tonumber(ARGV[2])
local after = offset + tonumber(ARGV[3])
if size == after then return {1, size} end
if size ~= offset then return {0, size} end
redis.call('XADD', KEYS[2], string.format('%d-%d', offset + 1, 2 * tonumber(ARGV[1])), ARGV[4], ARGV[5])
redis.call('HSET', KEYS[1], 'size', string.format('%d', after))
-- One mark a second says when the log was how long; at most 100,000 of them, a day.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local marks = tonumber(meta[4] or '0')
if now - tonumber(meta[3] or '0') >= 1000 and marks < 100000 then
  redis.call('ZADD', KEYS[4], offset, string.format('%d:%d', offset, now))
  redis.call('HSET', KEYS[1], 'mark', string.format('%d', now), 'marks', string.format('%d', marks + 1))
end
for i = 1, 4 do
  redis.call('PEXPIRE', KEYS[i], ARGV[6])
end
return {1, after}
