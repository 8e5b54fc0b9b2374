-- A builder shuts down and gives its job back; the attempt does not count.
-- KEYS  all keys (keys.go)
-- ARGV  1 protocol  2 job id  3 timestamp  4 token  5 builder
-- Gives OK, also when this token was given back before. Else CAURLOST or CAURCANCELED.

local seq, was = held(ARGV[2], ARGV[3], ARGV[4], ARGV[5])
if not seq then
  local present = alive(ARGV[2], ARGV[3])
  if present and call('HGET', jkey(present), 'rtoken') == ARGV[4] then return redis.status_reply('OK') end
  return refusal(task_of(ARGV[2], ARGV[3]), ARGV[2])
end
if was ~= 'running' then return redis.error_reply('CAURLOST the job was delivered already') end
allow_when_full()
give_back(seq, 'the builder shuts down')
call('HSET', jkey(seq), 'rtoken', ARGV[4])
commit()
return redis.status_reply('OK')
