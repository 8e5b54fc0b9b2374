-- Enqueues a batch: all or nothing, once for a batch id.
-- KEYS  all keys (keys.go)
-- ARGV  1 protocol  2 batch id  3 critical paths in seconds, separated by spaces, one a job  4 clean-up, JSON, or ''
--       5 its task id  6 its target repo  7 'stage' or 'here'  8… keys of the pieces ('stage') or the pieces themselves ('here');
--       a piece is lines, each a job in JSON
-- Gives {JSON {added, replaced, canceled_runs, cleanup_id}, 1 when the batch id was accepted before}; the lists hold job ids.
--       CAURSTAGE when a piece has expired.

local batch_key = P .. 'batch:' .. ARGV[2]
local answered = call('GET', batch_key)
if answered then return { answered, 1 } end

-- Everything is read before anything is written: an error up to here changes nothing.
local jobs, paths = {}, {}
for path in string.gmatch(ARGV[3], '%S+') do paths[#paths + 1] = path end
for i = 8, #ARGV do
  local piece = ARGV[i]
  if ARGV[7] == 'stage' then piece = call('GET', ARGV[i]) end
  if not piece then return redis.error_reply('CAURSTAGE a piece of the batch is gone') end
  for line in string.gmatch(piece, '[^\n]+') do
    jobs[#jobs + 1] = { text = line, job = cjson.decode(line), path = paths[#jobs + 1] }
  end
end
local cleanup = ARGV[4] ~= '' and cjson.decode(ARGV[4])
if #jobs ~= #paths then return redis.error_reply('CAURSTAGE the batch is not complete') end

call('SET', batch_key, '', 'EX', KEEP_SECONDS)
call('HSET', K.meta, 'protocol', ARGV[1])
local answer = { added = {}, replaced = {}, canceled_runs = {}, cleanup_id = ARGV[5] }

if cleanup then
  call('HSET', K.cleanups, ARGV[5], ARGV[4])
  call('ZADD', P .. 'line:' .. ARGV[6], call('HINCRBY', K.meta, 'order', 1), ARGV[5])
  call('SADD', K.lines, ARGV[6])
  wake_database = true
  event('queued', ARGV[5], '', cleanup, '')
end

local loosened = take_back_offers()
local fresh, is_fresh = {}, {}
local last = tonumber(call('HINCRBY', K.meta, 'seq', #jobs)) - #jobs
for i, entry in ipairs(jobs) do
  local b, seq = entry.job, int(last + i)
  local id = b.target_repo .. '/' .. b.arch .. '/' .. b.pkgbase
  local old = call('HGET', K.ids, id)
  if old then
    local waiting, was = end_job(old, '5', 'replaced by a newer job')
    for _, d in ipairs(waiting) do loosened[#loosened + 1] = d end
    local list = (was == 'running' or was == 'publishing') and answer.canceled_runs or answer.replaced
    list[#list + 1] = id
  end
  local ts = int(math.max(now, tonumber(call('HGET', K.stamps, b.pkgbase) or '0') + 1))
  call('HSET', K.stamps, b.pkgbase, ts)
  call('HSET', K.ids, id, seq)
  call('HSET', K.bodies, seq, entry.text)
  call('HSET', jkey(seq), 'state', 'blocked', 'id', id, 'ts', ts, 'bucket', b.arch .. '|' .. b.build_class, 'path', entry.path, 'base', b.pkgbase)
  body_cache[seq] = b
  index(seq, b)
  event('queued', id, ts, b, '')
  answer.added[i] = id
  fresh[i], is_fresh[seq] = seq, true
end

-- A ready job that depends on a new one is ready no more. It needs no look at its cycles: one that it is in now has the new job in it.
for _, seq in ipairs(fresh) do
  for _, d in ipairs(dependants(body(seq))) do
    if not is_fresh[d] and state(d) == 'ready' then make_blocked(d) end
  end
end

-- Jobs that lost an edge, or an offer; each once, those still alive.
local todo, listed = fresh, is_fresh
for _, d in ipairs(loosened) do
  if not listed[d] and state(d) == 'blocked' then
    listed[d] = true
    todo[#todo + 1] = d
  end
end
settle(todo)
if ARGV[7] == 'stage' then call('DEL', unpack(ARGV, 8)) end

-- An empty list would become an empty object.
for _, name in ipairs({ 'added', 'replaced', 'canceled_runs' }) do
  if #answer[name] == 0 then answer[name] = nil end
end
local text = cjson.encode(answer)
call('SET', batch_key, text, 'EX', KEEP_SECONDS)
commit()
return { text, 0 }
