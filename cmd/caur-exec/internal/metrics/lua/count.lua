-- Counts an event once.
-- KEYS  1 place  2 hash of counts  3 hash of counts with packages
-- ARGV  1 id of the event  2 fields of one of them at most  then for each count: hash (2 or 3), field, field when there are too many, number
-- Gives 1, or 0 when it was counted before.
local call = redis.call

local function parts(id)
  local ms, n = string.match(id, '^(%d+)%-(%d+)$')
  return tonumber(ms), tonumber(n)
end

local place = call('GET', KEYS[1])
if place then
  local ms, n = parts(ARGV[1])
  local had_ms, had_n = parts(place)
  if ms < had_ms or ms == had_ms and n <= had_n then return 0 end
end
call('SET', KEYS[1], ARGV[1])
for i = 3, #ARGV, 4 do
  local key, field = KEYS[tonumber(ARGV[i])], ARGV[i + 1]
  if call('HLEN', key) >= tonumber(ARGV[2]) and call('HEXISTS', key, field) == 0 then field = ARGV[i + 2] end
  call('HINCRBY', key, field, ARGV[i + 3])
end
return 1
