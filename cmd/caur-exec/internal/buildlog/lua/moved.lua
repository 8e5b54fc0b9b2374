-- Takes the text of a finished log out of Redis, once a file has it. Calling it again changes nothing.
--
-- KEYS[1] meta hash   KEYS[2] stream   KEYS[3] index of the pkgbase   KEYS[4] times
-- ARGV[1] token   ARGV[2] bytes that the file has
--
-- Result: 1 taken out; 0 the log is not the one in the file: it is written again;
-- -2 there is no such log.
local meta = redis.call('HMGET', KEYS[1], 'token', 'size', 'status')
if not meta[1] then return -2 end
if meta[1] ~= ARGV[1] or meta[2] ~= ARGV[2] or not meta[3] then return 0 end
redis.call('UNLINK', KEYS[2], KEYS[4])
redis.call('HSET', KEYS[1], 'moved', ARGV[2])
return 1
