-- A build is done and its files are in the landing zone: the job goes into the line of its target repo.
-- KEYS  1 the prefix of all keys (keys.go)
-- ARGV  1 protocol  2 job id  3 timestamp  4 token  5 builder  6 result, JSON  7 duration of the build in ms
-- Gives OK, also when it was delivered before with this token, even if it has been published since. Else CAURLOST or CAURCANCELED.

local task = task_of(ARGV[2], ARGV[3])
local seq, was = held(ARGV[2], ARGV[3], ARGV[4], ARGV[5])
if not seq then
  local record = call('GET', end_key(task))
  if record then
    local r = cjson.decode(record)
    if r.token == ARGV[4] and r.holder_token ~= '' then return redis.status_reply('OK') end
  end
  return refusal(task, ARGV[2])
end
if was == 'publishing' then return redis.status_reply('OK') end
allow_when_full()
local b = body(seq)
call('ZREM', K.leases, seq)
call('HSET', jkey(seq), 'state', 'publishing', 'since', int(now), 'dur', ARGV[7])
call('HSET', K.results, seq, ARGV[6])
call('ZADD', P .. 'line:' .. b.target_repo, call('HINCRBY', K.count, 'order', 1), task)
call('SADD', K.lines, b.target_repo)
count('builder_completed')
event('delivered', ARGV[2], ARGV[3], b, '', 'b', ARGV[5], 'd', ARGV[7])
wake_database = true
commit()
return redis.status_reply('OK')
