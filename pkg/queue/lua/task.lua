-- How a job or clean-up ended, or which task to wait for. Changes nothing.
-- KEYS  1 the prefix of all keys (keys.go)
-- ARGV  1 protocol  2 task id, or job id: then the job alive, else the one that ended last
-- Gives {task id, end as JSON} when it has ended, {task id} when it is alive, CAURNOTFOUND.

local task = ARGV[2]
local seq = call('HGET', K.ids, task)
if seq then return { task_of(task, call('HGET', jkey(seq), 'ts')) } end
local ts = call('HGET', K.ends, task)
if ts then task = task_of(task, ts) end
local record = call('GET', end_key(task))
if record then return { task, record } end
local id, its = string.match(task, '^(.*):(%d+)$')
if call('HEXISTS', K.cleanups, task) == 1 or (id and alive(id, its)) then return { task } end
return redis.error_reply('CAURNOTFOUND neither in the queue nor among what ended in the last seven days')
