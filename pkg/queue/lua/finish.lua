-- Ends a running job without publishing.
-- KEYS  1 the prefix of all keys (keys.go)
-- ARGV  1 protocol  2 job id  3 timestamp  4 token  5 builder  6 status  7 message  8 failure, JSON, or ''
--       9 duration of the build in ms
-- Gives OK, also when this token ended it so before. Else CAURLOST or CAURCANCELED.

local task = task_of(ARGV[2], ARGV[3])
local seq, was = held(ARGV[2], ARGV[3], ARGV[4], ARGV[5])
if not seq then
  if ended_so(task, ARGV[6], ARGV[4], '') then return redis.status_reply('OK') end
  return refusal(task, ARGV[2])
end
if was ~= 'running' then return redis.error_reply('CAURLOST the job was delivered already') end
allow_when_full()
count_end('builder', ARGV[6])
if ARGV[9] ~= '0' then call('HSET', jkey(seq), 'dur', ARGV[9]) end
leave_bodies = true
end_job(seq, ARGV[6], ARGV[7], nil, ARGV[8])
settle(loosened())
commit()
return redis.status_reply('OK')
