-- KEYS 1 leader  ARGV 1 who  2 ms, or 0 to give it up. Gives 1 while this one leads.
local call = redis.call
local leader = call('GET', KEYS[1])
if leader and leader ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then
  call('DEL', KEYS[1])
  return 0
end
call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
