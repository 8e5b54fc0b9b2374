-- A builder gives its job back: it shuts down, or the build failed in a way that another try may mend. No lost lease is counted.
-- KEYS  1 the prefix of all keys (keys.go)
-- ARGV  1 protocol  2 job id  3 timestamp  4 token  5 builder  6 why  7 '', or for another try the ms until then
--       8 failure, JSON, or ''  9 duration of the build in ms, or ''
-- Gives OK, also when this token was given back before. Else CAURLOST or CAURCANCELED.

local seq, was = held(ARGV[2], ARGV[3], ARGV[4], ARGV[5])
if not seq then
  local present = alive(ARGV[2], ARGV[3])
  if present and call('HGET', jkey(present), 'rtoken') == ARGV[4] then return redis.status_reply('OK') end
  return refusal(task_of(ARGV[2], ARGV[3]), ARGV[2])
end
if was ~= 'running' then return redis.error_reply('CAURLOST the job was delivered already') end
allow_when_full()
call('HSET', jkey(seq), 'rtoken', ARGV[4])
if ARGV[7] ~= '' then
  call('HINCRBY', jkey(seq), 'retries', 1)
  call('HSET', jkey(seq), 'nb', int(now + tonumber(ARGV[7])), 'why', ARGV[6], 'fail', ARGV[8])
end
give_back(seq, ARGV[6], 'f', ARGV[8], 'd', ARGV[9])
commit()
return redis.status_reply('OK')
