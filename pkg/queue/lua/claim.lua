-- Gives a builder the best job that it may take, as a lease; registers the builder as alive in any case.
-- KEYS  1 the prefix of all keys (keys.go)
-- ARGV  1 protocol  2 nonce of this call  3 builder, JSON  4 its name  5 its class when a number, else ''
--       6 its architectures separated by spaces, or ''  7 ttl, ms
-- Gives {0, wake count, ms until something has waited for its time, or '', 1 when the builder is drained} when there is nothing for it,
--       else {1, body, timestamp, token, attempt, expires ms, retries, priority, not before}.
-- The order of offer is internal/order's; a test holds the two against each other.

allow_when_full()
call('HSET', K.builders, ARGV[4], ARGV[3])
call('ZADD', K.seen, now, ARGV[4])

local function answer(seq)
  local f = call('HMGET', jkey(seq), 'ts', 'token', 'lost', 'expires', 'retries', 'prio', 'nb')
  return { 1, call('HGET', K.bodies, seq), f[1], f[2], tonumber(f[3] or '0') + 1, f[4], f[5] or '0', f[6] or '0', f[7] or '0' }
end

local nonce_key = P .. 'nonce:' .. ARGV[2]
local before_now = call('GET', nonce_key)
if before_now then
  local seq, token = string.match(before_now, '^(%d+) (%d+)$')
  if seq and call('HGET', jkey(seq), 'token') == token and state(seq) == 'running' then return answer(seq) end
end

local function nothing(drained)
  local next_due = call('ZRANGE', K.later, 0, 0, 'WITHSCORES')[2]
  return { 0, call('HGET', K.count, 'builders') or '0', next_due and int(math.max(0, tonumber(next_due) - now)) or '', drained }
end
if call('SISMEMBER', K.drained, ARGV[4]) == 1 then return nothing(1) end
local put_any = put_up_due(50)

local can = nil
if ARGV[6] ~= '' then
  can = { any = true }
  for arch in string.gmatch(ARGV[6], '%S+') do can[arch] = true end
end
local numeric = tonumber(ARGV[5])

local function takes(arch, class)
  if can and not can[arch] then return false end
  if string.find(class, '^%d+$') then return numeric ~= nil and tonumber(class) <= numeric end
  return class == ARGV[4]
end

-- The first of each target repo. Members are padded, so among equal scores the string that sorts first is the oldest job.
local function sooner(a, b)
  return a.score < b.score or (a.score == b.score and before(a.member, b.member))
end
local heads, repos = {}, {}
for _, bucket in ipairs(call('SMEMBERS', K.buckets)) do
  local arch, class, repo = string.match(bucket, '^(.-)|(.-)|(.*)$')
  if takes(arch, class) then
    local first = call('ZRANGE', P .. 'ready:' .. bucket, 0, 0, 'WITHSCORES')
    if not first[1] then
      call('SREM', K.buckets, bucket)
    else
      local head = { member = first[1], score = tonumber(first[2]), bucket = bucket }
      if not heads[repo] then repos[#repos + 1] = repo end
      if not heads[repo] or sooner(head, heads[repo]) then heads[repo] = head end
    end
  end
end
if #repos == 0 then
  if put_any then commit() end
  return nothing(0)
end

-- Fairness between target repos: who has had the least, by its weight; a priority is credit.
local CREDIT_MS = 86400000
local floor_now = tonumber(call('HGET', K.count, 'floor') or '0')
local best, lowest
local had = call('HMGET', K.vtime, unpack(repos))
for i, repo in ipairs(repos) do
  local head = heads[repo]
  local f = call('HMGET', jkey(int(tonumber(head.member))), 'prio', 'est')
  head.begin = math.max(tonumber(had[i] or '0'), floor_now)
  head.turn, head.cost, head.repo = head.begin - tonumber(f[1] or '0') * CREDIT_MS, tonumber(f[2] or '1') * 1000, repo
  lowest = math.min(lowest or head.begin, head.begin)
  if not best or head.turn < best.turn or (head.turn == best.turn and sooner(head, best)) then best = head end
end
local weight = math.max(1, tonumber(call('HGET', K.weights, best.repo) or '1'))
call('HSET', K.vtime, best.repo, int(best.begin + math.floor(best.cost / weight)))
call('HSET', K.count, 'floor', int(lowest))

local seq, token = int(tonumber(best.member)), new_token()
withdraw(seq, best.bucket)
local expires = int(now + tonumber(ARGV[7]))
call('HSET', jkey(seq), 'state', 'running', 'token', token, 'builder', ARGV[4], 'class', ARGV[5], 'since', int(now), 'expires', expires)
call('ZADD', K.leases, expires, seq)
call('SET', nonce_key, seq .. ' ' .. token, 'EX', 600)
local f = call('HMGET', jkey(seq), 'id', 'ts')
event('started', f[1], f[2], body(seq), '', 'b', ARGV[4])
commit()
return answer(seq)
