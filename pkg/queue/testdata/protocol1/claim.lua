-- Gives a builder the best job that it may take, as a lease; registers the builder as alive in any case.
-- KEYS  all keys (keys.go)
-- ARGV  1 protocol  2 nonce of this call  3 builder, JSON  4 its name  5 its class when a number, else ''
--       6 its architectures separated by spaces, or ''  7 ttl, ms
-- Gives {0, wake count} when there is nothing for it, else {1, body, timestamp, token, attempt, expires ms}.

allow_when_full()
call('HSET', K.meta, 'protocol', ARGV[1])
call('HSET', K.builders, ARGV[4], ARGV[3])
call('ZADD', K.seen, now, ARGV[4])

local function answer(seq)
  local f = call('HMGET', jkey(seq), 'ts', 'token', 'lost', 'expires')
  return { 1, call('HGET', K.bodies, seq), f[1], f[2], tonumber(f[3] or '0') + 1, f[4] }
end

local nonce_key = P .. 'nonce:' .. ARGV[2]
local before_now = call('GET', nonce_key)
if before_now then
  local seq, token = string.match(before_now, '^(%d+) (%d+)$')
  if seq and call('HGET', jkey(seq), 'token') == token and state(seq) == 'running' then return answer(seq) end
end

local can = nil
if ARGV[6] ~= '' then
  can = { any = true }
  for arch in string.gmatch(ARGV[6], '%S+') do can[arch] = true end
end
local numeric = tonumber(ARGV[5])

local function takes(bucket)
  local arch, class = string.match(bucket, '^(.-)|(.*)$')
  if can and not can[arch] then return false end
  if string.find(class, '^%d+$') then return numeric ~= nil and tonumber(class) <= numeric end
  return class == ARGV[4]
end

-- Members are padded, so among equal scores the string that sorts first is the oldest job.
local best, best_score, best_bucket
for _, bucket in ipairs(call('SMEMBERS', K.buckets)) do
  if takes(bucket) then
    local head = call('ZRANGE', P .. 'ready:' .. bucket, 0, 0, 'WITHSCORES')
    local score = tonumber(head[2])
    if not head[1] then
      call('SREM', K.buckets, bucket)
    elseif not best or score < best_score or (score == best_score and before(head[1], best)) then
      best, best_score, best_bucket = head[1], score, bucket
    end
  end
end
if not best then return { 0, call('HGET', K.meta, 'builders') or '0' } end

local seq, token = int(tonumber(best)), new_token()
withdraw(seq, best_bucket)
local expires = int(now + tonumber(ARGV[7]))
call('HSET', jkey(seq), 'state', 'running', 'token', token, 'builder', ARGV[4], 'class', ARGV[5], 'since', int(now), 'expires', expires)
call('ZADD', K.leases, expires, seq)
call('SET', nonce_key, seq .. ' ' .. token, 'EX', 600)
local f = call('HMGET', jkey(seq), 'id', 'ts')
event('started', f[1], f[2], body(seq), '', 'b', ARGV[4])
commit()
return answer(seq)
