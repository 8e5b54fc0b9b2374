-- Takes back leases that ran out, at most 50 a call, puts up what has waited for its time, and forgets builders not seen for a day.
-- KEYS  1 the prefix of all keys (keys.go)
-- ARGV  1 protocol  2 lost leases after which a job ends  3 gap, ms  4 grace, ms
-- Gives {more, {body, timestamp, builder, attempt, ended}…}; more is 1 when leases are left.
-- When nothing was reaped for longer than the gap, Redis or the network was away, or its clock jumped: builders could not renew. Each lease
-- that ran out meanwhile then gets the grace, once.

allow_when_full()
call('HSETNX', K.meta, 'protocol', ARGV[1])
local last = tonumber(call('HGET', K.meta, 'lastreap') or int(now))
call('HSET', K.meta, 'lastreap', int(now))
local away = now - last > tonumber(ARGV[3])

for _, name in ipairs(call('ZRANGEBYSCORE', K.seen, '-inf', int(now - 86400000), 'LIMIT', 0, 100)) do
  call('ZREM', K.seen, name)
  call('HDEL', K.builders, name)
end

bury_the_dead()
local due = put_up_due(1000)
local expired = call('ZRANGEBYSCORE', K.leases, '-inf', int(now), 'LIMIT', 0, 50)
local out = { #expired == 50 and 1 or 0 }
for _, seq in ipairs(expired) do
  local f = call('HMGET', jkey(seq), 'ts', 'builder', 'lost', 'grace')
  if away and not f[4] then
    local expires = int(now + tonumber(ARGV[4]))
    call('HSET', jkey(seq), 'expires', expires, 'grace', '1')
    call('ZADD', K.leases, expires, seq)
  else
    local lost = tonumber(f[3] or '0') + 1
    local over = lost >= tonumber(ARGV[2])
    out[#out + 1] = { call('HGET', K.bodies, seq), f[1], f[2], lost, over and 1 or 0 }
    count('lost_leases')
    if over then
      count_end('builder', '7')
      end_job(seq, '7', 'the lease ran out ' .. lost .. ' times: the builders stopped answering')
      settle(loosened())
    else
      call('HSET', jkey(seq), 'lost', lost)
      give_back(seq, 'the lease ran out: builder ' .. f[2] .. ' stopped answering')
    end
  end
end
if due or #expired > 0 then commit() end
return out
