-- Puts entries into the outbox and moves the place, once for each event.
-- KEYS  1 place (its prefix is that of all keys)
-- ARGV  1 id of the event, or ''  2 task id  3 '' forget that task, '-' leave it, else remember this  4 entries kept of one target
--       then for each entry: target, key, kind and body
-- Gives 1, or 0 when the place was there already: nothing was changed.
local call = redis.call
local P = string.sub(KEYS[1], 1, -6)

local function parts(id)
  local ms, n = string.match(id, '^(%d+)%-(%d+)$')
  return tonumber(ms), tonumber(n)
end

if ARGV[1] ~= '' then
  local place = call('GET', KEYS[1])
  if place then
    local ms, n = parts(ARGV[1])
    local had_ms, had_n = parts(place)
    if ms < had_ms or ms == had_ms and n <= had_n then return 0 end
  end
  call('SET', KEYS[1], ARGV[1])
end
if ARGV[3] == '' then
  call('HDEL', P .. 'open', ARGV[2])
elseif ARGV[3] ~= '-' then
  call('HSET', P .. 'open', ARGV[2], ARGV[3])
end

for i = 5, #ARGV, 3 do
  local target, key, body = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local out, bodies = P .. 'out:' .. target, P .. 'body:' .. target
  local had = call('HGET', bodies, key)
  local kind = had and string.sub(had, 1, 1)
  if kind ~= 'u' then
    if kind == 'o' then
      call('HSET', bodies, key, body)
    else
      local seq = string.format('%.0f', call('INCR', P .. 'seq'))
      if kind == 'f' then key = key .. '#' .. seq end
      call('HSET', bodies, key, body)
      call('ZADD', out, seq, key)
      call('SADD', P .. 'targets', target)
    end
    local over = call('ZCARD', out) - tonumber(ARGV[4])
    if over > 0 then
      for _, oldest in ipairs(call('ZRANGE', out, 0, over - 1)) do
        call('ZREM', out, oldest)
        call('HDEL', bodies, oldest)
        call('HINCRBY', P .. 'count', 'dropped:' .. target, 1)
      end
    end
  end
end
return 1
