-- Enqueues a batch: all or nothing, once for a batch id.
-- KEYS  1 the prefix of all keys (keys.go)
-- ARGV  1 protocol  2 batch id  3 critical path and duration in seconds, as PATH:DURATION, separated by spaces, one a job
--       4 clean-up, JSON, or ''  5 its task id  6 its target repo  7 'missing' leaves out jobs whose identity is alive, else ''
--       8 'stage' or 'here'  9… keys of the pieces ('stage') or the pieces themselves ('here');
--       a piece is lines, each a job in JSON
-- Gives {JSON {added, replaced, canceled_runs, left_out, cleanup_id}, 1 when the batch id was accepted before}; the lists hold job ids.
--       CAURSTAGE when a piece has expired.

local batch_key = P .. 'batch:' .. ARGV[2]
local answered = call('GET', batch_key)
if answered then return { answered, 1 } end

-- Everything is read before anything is written: an error up to here changes nothing.
local jobs, paths = {}, {}
for path, est in string.gmatch(ARGV[3], '(%d+):(%d+)') do paths[#paths + 1] = { path, est } end
for i = 9, #ARGV do
  local piece = ARGV[i]
  if ARGV[8] == 'stage' then piece = call('GET', ARGV[i]) end
  if not piece then return redis.error_reply('CAURSTAGE a piece of the batch is gone') end
  for line in string.gmatch(piece, '[^\n]+') do
    local path = paths[#jobs + 1] or {}
    jobs[#jobs + 1] = { text = line, job = read_job(line), path = path[1], est = path[2] }
  end
end
local cleanup = ARGV[4] ~= '' and cjson.decode(ARGV[4])
if #jobs ~= #paths then return redis.error_reply('CAURSTAGE the batch is not complete') end

call('SET', batch_key, '', 'EX', KEEP_SECONDS)
call('HSET', K.meta, 'protocol', ARGV[1])
bury_the_dead()
local answer = { left_out = {}, added = {}, replaced = {}, canceled_runs = {}, cleanup_id = ARGV[5] }

if cleanup then
  call('HSET', K.cleanups, ARGV[5], ARGV[4])
  call('ZADD', P .. 'line:' .. ARGV[6], call('HINCRBY', K.count, 'order', 1), ARGV[5])
  call('SADD', K.lines, ARGV[6])
  wake_database = true
  event('queued', ARGV[5], '', cleanup, '')
end

local function id_of(b) return b.target_repo .. '/' .. b.arch .. '/' .. b.pkgbase end
if ARGV[7] == 'missing' then
  local wanted = {}
  for _, entry in ipairs(jobs) do
    local id = id_of(entry.job)
    if call('HEXISTS', K.ids, id) == 0 then wanted[#wanted + 1] = entry else table.insert(answer.left_out, id) end
  end
  jobs = wanted
end

local fields, ids = {}, {}
for i, entry in ipairs(jobs) do
  local b = entry.job
  ids[i], fields[i] = id_of(b), b.pkgbase
  if not arches[b.arch] then
    arches[b.arch] = true
    call('SADD', K.arches, b.arch)
  end
end
local function lookup(key, names)
  local out = {}
  for i = 1, #names, 1000 do
    for _, v in ipairs(call('HMGET', key, unpack(names, i, math.min(i + 999, #names)))) do out[#out + 1] = v end
  end
  return out
end

-- Those that the new ones replace go first.
local offered = take_back_offers()
replacing = true
for i, old in ipairs(lookup(K.ids, ids)) do
  if old then
    local was = end_job(old, '5', 'replaced by a newer job')
    local list = (was == 'running' or was == 'publishing') and answer.canceled_runs or answer.replaced
    list[#list + 1] = ids[i]
  end
end

replacing = false

local fresh, is_fresh, stamps, put = {}, {}, {}, { ids = {}, bodies = {}, stamps = {} }
local before_stamps = lookup(K.stamps, fields)
local last = tonumber(call('HINCRBY', K.meta, 'seq', #jobs)) - #jobs
for i, entry in ipairs(jobs) do
  local b, seq, id = entry.job, int(last + i), ids[i]
  local stamp = math.max(now, (stamps[b.pkgbase] or tonumber(before_stamps[i] or '0')) + 1)
  local ts = int(stamp)
  stamps[b.pkgbase] = stamp
  for name, pair in pairs({ ids = { id, seq }, bodies = { seq, entry.text }, stamps = { b.pkgbase, ts } }) do
    table.insert(put[name], pair[1])
    table.insert(put[name], pair[2])
  end
  call('HSET', jkey(seq), 'state', 'blocked', 'id', id, 'ts', ts, 'bucket', b.arch .. '|' .. b.build_class .. '|' .. b.target_repo,
    'path', entry.path, 'base', b.pkgbase)
  -- Fields that most jobs do not need take no memory.
  if entry.est ~= '1' then call('HSET', jkey(seq), 'est', entry.est) end
  if b.priority and b.priority ~= 0 then call('HSET', jkey(seq), 'prio', int(b.priority)) end
  if b.not_before and b.not_before > now then call('HSET', jkey(seq), 'nb', int(b.not_before)) end
  body_cache[seq] = b
  note('SADD', seq, b)
  event('queued', id, ts, b, '')
  answer.added[i] = id
  fresh[i], is_fresh[seq] = seq, true
end
for name, pairs_of in pairs(put) do in_steps('HSET', K[name], pairs_of) end
do_noted()

-- A ready job that depends on a new one is ready no more. It needs no look at its cycles: one that it is in now has the new job in it.
local keys = {}
for _, entry in ipairs(jobs) do want_keys(entry.job, keys) end
for _, d in ipairs(union(keys)) do
  if not is_fresh[d] and state(d) == 'ready' then make_blocked(d) end
end

-- Beside the new ones: jobs that lost an edge, or an offer.
local todo = fresh
for _, d in ipairs(loosened(offered)) do
  if not is_fresh[d] then todo[#todo + 1] = d end
end
settle(todo)
if ARGV[8] == 'stage' then call('DEL', unpack(ARGV, 9)) end

-- An empty list would become an empty object.
for _, name in ipairs({ 'added', 'replaced', 'canceled_runs', 'left_out' }) do
  if #answer[name] == 0 then answer[name] = nil end
end
local text = cjson.encode(answer)
call('SET', batch_key, text, 'EX', KEEP_SECONDS)
commit()
return { text, 0 }
