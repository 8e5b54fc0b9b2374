-- Moves the end of a lease. A lease that ran out but was not reaped yet is still good.
-- KEYS  1 the prefix of all keys (keys.go)
-- ARGV  1 protocol  2 job id  3 timestamp  4 token  5 builder  6 ttl, ms
-- Gives the new end in ms; a delivered job needs no renewal and gives 0. Else CAURLOST or CAURCANCELED.

allow_when_full()
local seq, was = held(ARGV[2], ARGV[3], ARGV[4], ARGV[5])
if not seq then return refusal(task_of(ARGV[2], ARGV[3]), ARGV[2]) end
call('ZADD', K.seen, now, ARGV[5])
if was ~= 'running' then return '0' end
local expires = int(now + tonumber(ARGV[6]))
call('HSET', jkey(seq), 'expires', expires)
call('HDEL', jkey(seq), 'grace')
call('ZADD', K.leases, expires, seq)
return expires
