-- Takes entries out of the outbox that were sent, or that became dead letters.
-- KEYS  1 place (its prefix is that of all keys)
-- ARGV  1 target  2 sent | dead | drop  3 dead letters kept  then for each entry: key, kind and body as read, dead letter (JSON, or '')
-- Gives how many. An entry that was replaced meanwhile stays.
local call = redis.call
local P = string.sub(KEYS[1], 1, -6)
local target, how = ARGV[1], ARGV[2]
local out, bodies, dead = P .. 'out:' .. target, P .. 'body:' .. target, P .. 'dead:' .. target

local taken = 0
for i = 4, #ARGV, 3 do
  local key = ARGV[i]
  if (call('HGET', bodies, key) or '') == ARGV[i + 1] then
    call('ZREM', out, key)
    call('HDEL', bodies, key)
    taken = taken + 1
    if how == 'dead' then call('LPUSH', dead, ARGV[i + 2]) end
  end
end
if how == 'dead' then
  call('LTRIM', dead, 0, tonumber(ARGV[3]) - 1)
  call('HINCRBY', P .. 'count', 'dead:' .. target, taken)
elseif how == 'sent' then
  call('HINCRBY', P .. 'count', 'sent:' .. target, (#ARGV - 3) / 3) -- what was replaced meanwhile was sent all the same
end
return taken
