-- The job of a task that has ended, for another try. Changes nothing.
-- KEYS  1 the prefix of all keys (keys.go)
-- ARGV  1 protocol  2 task id, or job id: then the one that ended last
-- Gives {task id, job in JSON}. CAURNOTFOUND, also while a job of that identity is alive.

local task = ARGV[2]
local ts = call('HGET', K.ends, task)
if ts then task = task_of(task, ts) end
if call('HEXISTS', K.ids, (string.gsub(task, ':%d+$', ''))) == 1 then
  return redis.error_reply('CAURNOTFOUND a job of that identity is alive: it needs no other try')
end
local record = call('GET', end_key(task))
local text = record and cjson.decode(record).job
if not text then return redis.error_reply('CAURNOTFOUND not among the jobs that ended in the last seven days') end
return { task, text }
