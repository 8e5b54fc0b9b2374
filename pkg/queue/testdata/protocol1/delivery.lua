-- What the holder of a line does with its task.
-- KEYS  all keys (keys.go)
-- ARGV  1 protocol  2 'renew', 'wanted' or 'finish'  3 target repo  4 task id  5 holder token  6 the job's token, or ''
--       7 ttl in ms (renew) or status (finish)  8 message (finish)
-- Gives OK, for finish also when this turn ended it so before. CAURLOST: the turn is over, another holder may have the line; nothing is changed.
-- CAURCANCELED: the job has ended; renew has kept the line all the same, finish has given it up.

local repo, task, op = ARGV[3], ARGV[4], ARGV[2]
local hold = P .. 'hold:' .. repo
local turn = call('HMGET', hold, 'token', 'task')
if turn[1] ~= ARGV[5] or turn[2] ~= task then
  if op == 'finish' and ended_so(task, ARGV[7], ARGV[6], ARGV[5]) then return redis.status_reply('OK') end
  return redis.error_reply('CAURLOST the turn at the line of ' .. repo .. ' is over')
end
if op ~= 'wanted' then allow_when_full() end

local id = string.gsub(task, ':%d+$', '')
local wanted = call('HEXISTS', K.cleanups, task) == 1
if not wanted then
  local ts = string.match(task, ':(%d+)$')
  local seq = ts and alive(id, ts)
  if seq then
    local f = call('HMGET', jkey(seq), 'state', 'token')
    wanted = f[1] == 'publishing' and f[2] == ARGV[6]
  end
end

if op == 'renew' then call('HSET', hold, 'expires', int(now + tonumber(ARGV[7]))) end
if op == 'finish' then
  call('DEL', hold)
  wake_database = true
  if wanted then finish_task(task, repo, ARGV[7], ARGV[8], ARGV[5]) end
  commit()
end
if wanted then return redis.status_reply('OK') end
return refusal(task, id)
