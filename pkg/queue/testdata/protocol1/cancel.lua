-- Cancels a job alive, or a clean-up that nobody works on yet.
-- KEYS  all keys (keys.go)
-- ARGV  1 protocol  2 nonce of this call  3 job id, or task id of a clean-up  4 timestamp, or '' for whichever is alive
-- Gives OK, also when this call was sent before. Else CAURNOTFOUND.

local nonce_key = P .. 'nonce:' .. ARGV[2]
if call('EXISTS', nonce_key) == 1 then return redis.status_reply('OK') end

local cleanup = call('HGET', K.cleanups, ARGV[3])
if cleanup then
  local c = cjson.decode(cleanup)
  local hold = call('HMGET', P .. 'hold:' .. c.target_repo, 'task', 'expires')
  if hold[1] == ARGV[3] and tonumber(hold[2]) > now then
    return redis.error_reply('CAURNOTFOUND the clean-up is being carried out')
  end
  allow_when_full()
  call('ZREM', P .. 'line:' .. c.target_repo, ARGV[3])
  call('HDEL', K.cleanups, ARGV[3])
  record_end(ARGV[3], '5', 'canceled')
  event('ended', ARGV[3], '', c, 'canceled', 's', '5')
else
  local seq = call('HGET', K.ids, ARGV[3])
  if not seq or (ARGV[4] ~= '' and call('HGET', jkey(seq), 'ts') ~= ARGV[4]) then
    return redis.error_reply('CAURNOTFOUND no such job waits, runs or is being published')
  end
  allow_when_full()
  local offered = take_back_offers()
  end_job(seq, '5', 'canceled')
  settle(loosened(offered))
end
wake_database = true
call('SET', nonce_key, '1', 'EX', 600)
commit()
return redis.status_reply('OK')
