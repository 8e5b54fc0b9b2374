-- What all scripts share; Go puts it in front of each, and the table of keys before it. It begins as every script does: ARGV[1]
-- is the caller's protocol version, and a queue of another version refuses with CAURPROTO and its own.
-- Words and the reasoning about cycles: doc.go. Keys, and who may write which: keys.go.

local call = redis.call
local TRIMMED = 20000        -- events kept, about
local KEEP_SECONDS = 604800  -- ends and batch ids

local stored = call('HGET', K.meta, 'protocol')
if stored and stored ~= ARGV[1] and ARGV[1] ~= 'upgrade' then
  return redis.error_reply('CAURPROTO ' .. stored)
end

local clock = call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

local function int(n) return string.format('%.0f', n) end

-- ---- answers ------------------------------------------------------------------------------------------------------------

local changed, wake_builders, wake_database, ended_tasks = false, false, false, {}

-- Every changing script ends with it: counts the revision and wakes who waits.
local function commit()
  call('HINCRBY', K.count, 'revision', 1)
  if wake_builders then
    call('HINCRBY', K.count, 'builders', 1)
    call('PUBLISH', P .. 'wake:builders', '')
  end
  if wake_database then
    call('HINCRBY', K.count, 'database', 1)
    call('PUBLISH', P .. 'wake:database', '')
  end
  if changed then call('PUBLISH', P .. 'events', '') end
  for _, task in ipairs(ended_tasks) do call('PUBLISH', P .. 'ended', task) end
end

-- A script that only shrinks or moves what is there goes on when Redis is at maxmemory: Redis refuses only the first write
-- of a script, and never a DEL.
local function allow_when_full() call('DEL', P .. 'none') end

-- A token is never below Redis' clock in microseconds: tokens lost in a fail-over are not given twice.
local function new_token()
  local last = tonumber(call('HGET', K.count, 'token') or '0')
  local token = int(math.max(last + 1, tonumber(clock[1]) * 1000000 + tonumber(clock[2])))
  call('HSET', K.count, 'token', token)
  return token
end

local function count(name) call('HINCRBY', K.count, 'n:' .. name, 1) end

local GOOD = { ['0'] = true, ['1'] = true, ['2'] = true }
local function count_end(of, status)
  if GOOD[status] then count(of .. '_completed') elseif status ~= '5' then count(of .. '_failed') end
end

-- ---- jobs ---------------------------------------------------------------------------------------------------------------

local function jkey(seq) return P .. 'j:' .. seq end
local function task_of(id, ts) return id .. ':' .. ts end
local function end_key(task) return P .. 'end:' .. task end

-- A job of its text; its lists are lists, whatever the text has.
local function read_job(text)
  local b = cjson.decode(text)
  for _, field in ipairs({ 'pkgnames', 'provides', 'dependencies' }) do
    if type(b[field]) ~= 'table' then b[field] = {} end
  end
  return b
end

local body_cache = {}
local function body(seq)
  local b = body_cache[seq]
  if not b then
    b = read_job(call('HGET', K.bodies, seq))
    body_cache[seq] = b
  end
  return b
end

local function state(seq) return call('HGET', jkey(seq), 'state') end

-- b: the job, or for a clean-up ('' as timestamp) that; then pairs of further fields.
local function event(kind, id, ts, b, message, ...)
  changed = true
  if ts == '' then
    call('XADD', K.events, 'MAXLEN', '~', TRIMMED, '*', 'k', kind, 'id', id, 'c', b.commit or '', 'm', message or '',
      'tr', b.target_repo, 'ar', b.arch, ...)
    return
  end
  call('XADD', K.events, 'MAXLEN', '~', TRIMMED, '*', 'k', kind, 'id', id, 'ts', ts, 'c', b.commit or '', 'm', message or '',
    'sr', b.source_repo or '', 'cl', b.build_class or '', ...)
end

local function each_name(b, visit)
  for _, list in ipairs({ b.pkgnames, b.provides }) do
    for _, name in ipairs(list) do visit(name) end
  end
end

-- Architectures whose jobs concern one of this architecture, among those ever seen.
local arches = {}
for _, arch in ipairs(call('SMEMBERS', K.arches)) do arches[arch] = true end
local function partners(arch)
  local out = {}
  for other in pairs(arches) do
    if other == arch or other == 'any' or arch == 'any' then out[#out + 1] = other end
  end
  return out
end

local function union(keys)
  local out, step = {}, 1000
  if #keys <= step then
    if #keys > 0 then out = call('SUNION', unpack(keys)) end
    return out
  end
  local seen = {}
  for i = 1, #keys, step do
    for _, m in ipairs(call('SUNION', unpack(keys, i, math.min(i + step - 1, #keys)))) do
      if not seen[m] then seen[m] = true; out[#out + 1] = m end
    end
  end
  return out
end

-- Sequence numbers of the jobs alive that this one waits for. Cached: call forget_edges after any change of the indexes.
local edge_cache = {}
local function forget_edges() edge_cache = {} end
local function blockers(seq)
  local edges = edge_cache[seq]
  if edges then return edges end
  local b, keys = body(seq), {}
  local archs = partners(b.arch)
  for _, name in ipairs(b.dependencies) do
    for _, arch in ipairs(archs) do keys[#keys + 1] = P .. 'o:' .. arch .. ':' .. name end
  end
  edges = {}
  for _, other in ipairs(union(keys)) do
    if other ~= seq then edges[#edges + 1] = other end
  end
  edge_cache[seq] = edges
  return edges
end

-- Adds the keys of the sets of jobs that depend on a name of this one.
local function want_keys(b, keys)
  local archs = partners(b.arch)
  each_name(b, function(name)
    for _, arch in ipairs(archs) do keys[#keys + 1] = P .. 'w:' .. arch .. ':' .. name end
  end)
  return keys
end

-- Jobs are put into and taken out of the indexes a key at a time, many jobs at once: first noted here, then done.
local noted = { SADD = {}, SREM = {} }

local function note(command, seq, b)
  local by_key = noted[command]
  local function add(key)
    local seqs = by_key[key]
    if not seqs then by_key[key] = { seq }
    elseif seqs[#seqs] ~= seq then seqs[#seqs + 1] = seq end
  end
  for _, name in ipairs(b.dependencies) do add(P .. 'w:' .. b.arch .. ':' .. name) end
  each_name(b, function(name) add(P .. 'o:' .. b.arch .. ':' .. name) end)
end

local function in_steps(command, key, list)
  for i = 1, #list, 1000 do call(command, key, unpack(list, i, math.min(i + 999, #list))) end
end

local function do_noted()
  for _, command in ipairs({ 'SREM', 'SADD' }) do
    for key, seqs in pairs(noted[command]) do in_steps(command, key, seqs) end
    noted[command] = {}
  end
  forget_edges()
end

-- ---- ready and blocked --------------------------------------------------------------------------------------------------

local function member(seq) return string.format('%012d', tonumber(seq)) end

local PRIORITY_MS = 604800000 -- internal/order has the same, and the reasons

-- Lower is sooner.
local function score_of(ts, path, prio)
  return int(tonumber(ts) - tonumber(path) * 1000 - tonumber(prio or '0') * PRIORITY_MS)
end

-- To where claims look, or to where it waits for its time.
local function put_up(seq)
  local f = call('HMGET', jkey(seq), 'bucket', 'ts', 'path', 'prio', 'nb')
  if f[5] and tonumber(f[5]) > now then
    call('ZADD', K.later, f[5], seq)
  else
    call('ZADD', P .. 'ready:' .. f[1], score_of(f[2], f[3], f[4]), member(seq))
    call('SADD', K.buckets, f[1])
  end
  wake_builders = true
end

local function make_ready(seq, how)
  call('HSET', jkey(seq), 'state', how)
  if how == 'offered' then call('SADD', K.offered, seq) end
  put_up(seq)
end

-- Puts up what has waited for its time, at most so many; whether there were any.
local function put_up_due(most)
  local due = call('ZRANGEBYSCORE', K.later, '-inf', int(now), 'LIMIT', 0, most)
  for _, seq in ipairs(due) do
    call('ZREM', K.later, seq)
    put_up(seq)
  end
  return #due > 0
end

local function withdraw(seq, bucket)
  call('ZREM', P .. 'ready:' .. bucket, member(seq))
  call('ZREM', K.later, seq)
  call('SREM', K.offered, seq)
end

local function make_blocked(seq)
  withdraw(seq, call('HGET', jkey(seq), 'bucket'))
  call('HSET', jkey(seq), 'state', 'blocked')
end

-- What a dependency that ended badly means to those that wait for it: 'build', 'hold' or 'skip'.
local on_dep_failure
local function dep_mode()
  on_dep_failure = on_dep_failure or call('HGET', K.meta, 'ondep') or 'build'
  return on_dep_failure
end

-- Whether a job stays blocked because of a dependency that ended badly; it is then among those held.
local function is_held(seq)
  if dep_mode() ~= 'hold' or not call('HGET', jkey(seq), 'bad') then return false end
  call('SADD', K.held, seq)
  return true
end

-- Compares bytes; Lua's own order of strings depends on the server's locale.
local function before(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- Offers the first job of a component: stack[from..to]; none while one of them is held, for the others depend on that.
local function offer_first(stack, from, to)
  local held = false
  for i = from, to do held = is_held(stack[i]) or held end
  if held then return end
  local best, best_key
  for i = from, to do
    local f = call('HMGET', jkey(stack[i]), 'base', 'id')
    local key = string.format('%09d', #blockers(stack[i])) .. '\0' .. f[1] .. '\0' .. f[2]
    if not best or before(key, best_key) then best, best_key = stack[i], key end
  end
  make_ready(best, 'offered')
end

-- Walks from a blocked job along its blockers until it meets a job that is not blocked (then all jobs on the way have
-- something to wait for), or has walked a whole component that no edge leaves (Tarjan's first): that one gets its offer.
local function explore(root, escaped)
  if escaped[root] then return end
  local order, low, stack, frames = {}, {}, {}, {}
  local function visit(v)
    stack[#stack + 1] = v
    order[v], low[v] = #stack, #stack
    frames[#frames + 1] = { v = v, edges = blockers(v), i = 0 }
  end
  local function all_escaped()
    for _, v in ipairs(stack) do escaped[v] = true end
  end
  visit(root)
  while true do
    local f = frames[#frames]
    f.i = f.i + 1
    local w = f.edges[f.i]
    if w == nil then
      if low[f.v] == order[f.v] then
        offer_first(stack, order[f.v], #stack)
        return all_escaped()
      end
      frames[#frames] = nil
      local up = frames[#frames].v
      low[up] = math.min(low[up], low[f.v])
    elseif order[w] then
      low[f.v] = math.min(low[f.v], order[w])
    elseif escaped[w] or state(w) ~= 'blocked' then
      return all_escaped()
    else
      visit(w)
    end
  end
end

-- Decides anew about waiting jobs whose own edges may have changed; all of them must be in state blocked, each once.
local function settle(seqs)
  do_noted()
  local open = {}
  for _, seq in ipairs(seqs) do
    if #blockers(seq) > 0 then open[#open + 1] = seq elseif not is_held(seq) then make_ready(seq, 'ready') end
  end
  local escaped = {}
  for _, seq in ipairs(open) do explore(seq, escaped) end
end

-- Takes back the offers of all cycles, for settle to decide again. Needed when a waiting job gets edges or goes away.
local function take_back_offers()
  local seqs = call('SMEMBERS', K.offered)
  for _, seq in ipairs(seqs) do make_blocked(seq) end
  return seqs
end

-- ---- ends ---------------------------------------------------------------------------------------------------------------

local function record_end(task, status, message, token, builder, holder_token, text)
  call('SET', end_key(task), cjson.encode({ status = status, message = message, token = token or '', builder = builder or '',
    holder_token = holder_token or '', time = int(now), job = text }), 'EX', KEEP_SECONDS)
  ended_tasks[#ended_tasks + 1] = task
end

-- A waiting job knows which of its dependencies ended badly, and have not been built since: ids separated by spaces.
local function remember_failure(seq, id, failed)
  local before_now = call('HGET', jkey(seq), 'bad') or ''
  local kept = {}
  for other in string.gmatch(before_now, '%S+') do
    if other ~= id then kept[#kept + 1] = other end
  end
  if failed then kept[#kept + 1] = id end
  local bad = table.concat(kept, ' ')
  if bad == before_now then return end
  if bad ~= '' then
    call('HSET', jkey(seq), 'bad', bad)
  else
    call('HDEL', jkey(seq), 'bad')
    call('SREM', K.held, seq)
  end
end

-- Builders may not write the bodies (keys.go), so a script that they call leaves the body of what it ends to one that others call.
local leave_bodies = false
local function bury(seq)
  if leave_bodies then call('SADD', K.dead, seq) else call('HDEL', K.bodies, seq) end
end
local function bury_the_dead()
  for _, seq in ipairs(call('SPOP', K.dead, 1000)) do
    if call('EXISTS', jkey(seq)) == 0 then call('HDEL', K.bodies, seq) end
  end
end

-- Ends one job alive, in whatever state, and gives that, its id and its body.
local loose_keys = {}
local replacing = false -- then nobody will want to have it built again
local function end_one(seq, status, message, holder_token, failure)
  local b = body(seq)
  local f = call('HMGET', jkey(seq), 'id', 'ts', 'state', 'token', 'builder', 'bucket', 'dur')
  local id, ts, was, builder = f[1], f[2], f[3], f[5] or ''
  local task = task_of(id, ts)
  if was == 'ready' or was == 'offered' then withdraw(seq, f[6]) end
  if was == 'blocked' then call('SREM', K.held, seq) end
  if was == 'running' then call('ZREM', K.leases, seq) end
  if was == 'publishing' then
    call('ZREM', P .. 'line:' .. b.target_repo, task)
    call('HDEL', K.results, seq)
    wake_database = true
  end
  note('SREM', seq, b)
  record_end(task, status, message, f[4], builder, holder_token, not replacing and call('HGET', K.bodies, seq) or nil)
  call('HSET', K.ends, id, ts)
  event('ended', id, ts, b, message, 's', status, 'b', builder, 'f', failure or '', 'd', f[7] or '')
  count('status:' .. status)
  call('HDEL', K.ids, id)
  bury(seq)
  call('DEL', jkey(seq))
  body_cache[seq] = nil
  want_keys(b, loose_keys)
  return was, id, b
end

-- Ends a job alive and gives the state that it was in. The jobs that depended on it are given by loosened, for the caller to settle; they
-- remember a bad end, or end with it, and those that wait for them too.
local function end_job(seq, status, message, holder_token, failure)
  local was, id, b = end_one(seq, status, message, holder_token, failure)
  if status == '5' then return was end
  local bad = not GOOD[status]
  local todo = { b }
  while #todo > 0 do
    for _, d in ipairs(union(want_keys(table.remove(todo), {}))) do
      if state(d) == 'blocked' then
        if bad and dep_mode() == 'skip' then
          local _, _, skipped = end_one(d, '2', 'skipped: ' .. id .. ', which it depends on, was not built')
          todo[#todo + 1] = skipped
        else
          remember_failure(d, id, bad)
        end
      end
    end
  end
  return was
end

-- The blocked jobs that depended on those that end_job has ended since the last call, each once, after those given.
local function loosened(first)
  local out, listed = {}, {}
  for _, list in ipairs({ first or {}, union(loose_keys) }) do
    for _, d in ipairs(list) do
      if not listed[d] and state(d) == 'blocked' then
        listed[d] = true
        out[#out + 1] = d
      end
    end
  end
  loose_keys = {}
  return out
end

-- A running job waits again; further: pairs of fields for the event.
local function give_back(seq, why, ...)
  local f = call('HMGET', jkey(seq), 'id', 'ts', 'builder')
  call('ZREM', K.leases, seq)
  call('HDEL', jkey(seq), 'builder', 'class', 'since', 'expires', 'grace', 'token')
  call('HSET', jkey(seq), 'state', 'blocked')
  event('requeued', f[1], f[2], body(seq), why, 'b', f[3], ...)
  settle({ seq })
end

-- ---- leases -------------------------------------------------------------------------------------------------------------

-- Why a token does not count any more.
local function refusal(task, id)
  local record = call('GET', end_key(task))
  if record then
    local r = cjson.decode(record)
    if r.status == '5' then return redis.error_reply('CAURCANCELED ' .. r.message) end
    return redis.error_reply('CAURLOST the job has ended already')
  end
  local seq = call('HGET', K.ids, id)
  if not seq then return redis.error_reply('CAURLOST the job is not in the queue') end
  local f = call('HMGET', jkey(seq), 'state', 'builder')
  if f[2] then return redis.error_reply('CAURLOST the job is ' .. f[1] .. ', built by ' .. f[2]) end
  return redis.error_reply('CAURLOST the job waits again')
end

-- The job alive with this id and timestamp, or nil.
local function alive(id, ts)
  local seq = call('HGET', K.ids, id)
  if seq and call('HGET', jkey(seq), 'ts') == ts then return seq end
end

-- The job that this token is for, and its state; or nil.
local function held(id, ts, token, builder)
  local seq = alive(id, ts)
  if not seq then return nil end
  local f = call('HMGET', jkey(seq), 'token', 'builder', 'state')
  if f[1] ~= token or f[2] ~= builder then return nil end
  return seq, f[3]
end

-- Whether this job or clean-up has ended just so: the call is a repetition.
local function ended_so(task, status, token, holder_token)
  local record = call('GET', end_key(task))
  if not record then return false end
  local r = cjson.decode(record)
  return r.status == status and r.token == token and r.holder_token == holder_token
end

-- Ends what is in the line of a target repo.
local function finish_task(task, repo, status, message, holder_token)
  count_end('database', status)
  local cleanup = call('HGET', K.cleanups, task)
  if cleanup then
    call('ZREM', P .. 'line:' .. repo, task)
    call('HDEL', K.cleanups, task)
    record_end(task, status, message, '', '', holder_token)
    event('ended', task, '', cjson.decode(cleanup), message, 's', status)
    return
  end
  local seq = call('HGET', K.ids, (string.gsub(task, ':%d+$', '')))
  local f = call('HMGET', jkey(seq), 'dur', 'base')
  if status == '0' and tonumber(f[1] or '0') > 0 then
    call('HSET', K.durations, body(seq).arch .. '/' .. f[2], int(math.max(1, math.floor(tonumber(f[1]) / 1000 + 0.5))))
  end
  end_job(seq, status, message, holder_token)
  settle(loosened())
end
