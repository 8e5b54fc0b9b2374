-- What administrators and the database role decide for all.
-- KEYS  1 the prefix of all keys (keys.go)
-- ARGV  1 protocol  2 'drain', 'undrain' or 'advertise'  3 the builder, or the advert in JSON
--       4 build, hold or skip (advertise)  5… target repo and weight, in turn (advertise)
-- Gives OK.

allow_when_full()
if ARGV[2] == 'advertise' then
  call('HSETNX', K.meta, 'protocol', ARGV[1])
  call('SET', P .. 'advert', ARGV[3])
  call('DEL', K.weights)
  if #ARGV > 4 then call('HSET', K.weights, unpack(ARGV, 5)) end
  call('HSET', K.meta, 'ondep', ARGV[4])
  if ARGV[4] ~= 'hold' then
    local freed = {}
    for _, seq in ipairs(call('SMEMBERS', K.held)) do
      if state(seq) == 'blocked' then freed[#freed + 1] = seq end
    end
    call('DEL', K.held)
    settle(freed)
  end
elseif ARGV[2] == 'drain' then
  call('SADD', K.drained, ARGV[3])
else
  call('SREM', K.drained, ARGV[3])
  wake_builders = true
end
commit()
return redis.status_reply('OK')
