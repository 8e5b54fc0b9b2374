-- Changes how a job waits.
-- KEYS  1 the prefix of all keys (keys.go)
-- ARGV  1 protocol  2 job id  3 timestamp, or '' for whichever is alive  4 'prioritise', or 'release' from a dependency that ended badly
--       5 the priority
-- Gives OK. CAURNOTFOUND when no such job waits.

local seq = call('HGET', K.ids, ARGV[2])
local was = seq and state(seq)
if not seq or (ARGV[3] ~= '' and call('HGET', jkey(seq), 'ts') ~= ARGV[3]) or was == 'running' or was == 'publishing' then
  return redis.error_reply('CAURNOTFOUND no such job waits')
end
allow_when_full()
if ARGV[4] == 'prioritise' then
  call('HSET', jkey(seq), 'prio', ARGV[5])
  if was ~= 'blocked' then
    call('ZREM', P .. 'ready:' .. call('HGET', jkey(seq), 'bucket'), member(seq))
    call('ZREM', K.later, seq)
    put_up(seq)
  end
else
  call('HDEL', jkey(seq), 'bad')
  if call('SREM', K.held, seq) == 1 and was == 'blocked' then settle({ seq }) end
end
commit()
return redis.status_reply('OK')
