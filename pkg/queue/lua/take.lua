-- Gives a holder its turn at the oldest head of a line that nobody works at. What was begun and left five times ends.
-- KEYS  1 the prefix of all keys (keys.go)
-- ARGV  1 protocol  2 nonce of this call  3 holder  4 ttl, ms  5 turns after which a task ends
-- Gives {0, wake count} when there is nothing to do, else
--       {1, target repo, task id, holder token, attempt, kind, …} with kind 'job': body, timestamp, token, result; 'cleanup': JSON.

allow_when_full()

local function answer(repo, task, token, takes)
  local head = { 1, repo, task, token, takes }
  local cleanup = call('HGET', K.cleanups, task)
  if cleanup then
    head[6], head[7] = 'cleanup', cleanup
  else
    local seq = call('HGET', K.ids, (string.gsub(task, ':%d+$', '')))
    local f = call('HMGET', jkey(seq), 'ts', 'token')
    head[6], head[7], head[8], head[9], head[10] = 'job', call('HGET', K.bodies, seq), f[1], f[2], call('HGET', K.results, seq)
  end
  return head
end

local nonce_key = P .. 'nonce:' .. ARGV[2]
local before_now = call('GET', nonce_key)
if before_now then
  local repo, token = string.match(before_now, '^(.*) (%d+)$')
  local hold = call('HMGET', P .. 'hold:' .. repo, 'token', 'task', 'takes')
  if hold[1] == token and call('ZSCORE', P .. 'line:' .. repo, hold[2]) then return answer(repo, hold[2], token, hold[3]) end
end

local function best_head()
  local best_repo, best_task, best_order
  for _, repo in ipairs(call('SMEMBERS', K.lines)) do
    local head = call('ZRANGE', P .. 'line:' .. repo, 0, 0, 'WITHSCORES')
    local until_ms = tonumber(call('HGET', P .. 'hold:' .. repo, 'expires') or '0')
    if not head[1] then
      call('SREM', K.lines, repo)
    elseif until_ms <= now and (not best_order or tonumber(head[2]) < best_order) then
      best_repo, best_task, best_order = repo, head[1], tonumber(head[2])
    end
  end
  return best_repo, best_task
end

-- Builders may write the line (keys.go), but not the bodies: what is published is what somebody has enqueued, in the line of its target repo.
local function genuine(repo, task)
  local cleanup = call('HGET', K.cleanups, task)
  if cleanup then return cjson.decode(cleanup).target_repo == repo end
  local id, ts = string.match(task, '^(.*):(%d+)$')
  local seq = id and alive(id, ts)
  if not seq or state(seq) ~= 'publishing' or call('HEXISTS', K.bodies, seq) == 0 then return false end
  local b = body(seq)
  return b.target_repo == repo and id == b.target_repo .. '/' .. b.arch .. '/' .. b.pkgbase
end

local changed_any = false
while true do
  local repo, task = best_head()
  if not repo then
    if changed_any then commit() end
    return { 0, call('HGET', K.count, 'database') or '0' }
  end
  local hold = P .. 'hold:' .. repo
  local old = call('HMGET', hold, 'task', 'takes')
  local takes = 1
  if old[1] == task then takes = tonumber(old[2]) + 1 end
  if not genuine(repo, task) then
    call('ZREM', P .. 'line:' .. repo, task)
    changed_any = true
  elseif takes <= tonumber(ARGV[5]) then
    local token = new_token()
    call('HSET', hold, 'holder', ARGV[3], 'token', token, 'task', task, 'takes', takes, 'since', int(now), 'expires', int(now + tonumber(ARGV[4])))
    call('SET', nonce_key, repo .. ' ' .. token, 'EX', 600)
    commit()
    return answer(repo, task, token, takes)
  else
    changed_any = true
    call('DEL', hold)
    finish_task(task, repo, '7', 'publishing was begun ' .. (takes - 1) .. ' times and never finished')
  end
end
