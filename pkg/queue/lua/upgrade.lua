-- Takes a queue of protocol 1 over to protocol 2; called again and again until it is done.
-- KEYS  1 the prefix of all keys (keys.go)
-- ARGV  1 'upgrade'  2 the new protocol  3 1 to wait for no builder
-- Gives {protocol found, builds that are waited for}: the former is the new one when it is done.
--
-- Builders of protocol 1 bring their own scripts, which know the old layout alone. So while any of them has a live lease, all that waits is only
-- put out of their reach, which is no change of layout: they get nothing new, and renew and deliver what they have.

local found = stored or ARGV[2]
if found ~= '1' or ARGV[2] ~= '2' then return { found, 0 } end
allow_when_full()

for _, bucket in ipairs(call('SMEMBERS', K.buckets)) do
  local first
  repeat
    first = call('ZPOPMIN', P .. 'ready:' .. bucket, 1000)
    for i = 1, #first, 2 do call('HSET', jkey(int(tonumber(first[i]))), 'state', 'blocked') end
  until #first == 0
end
call('DEL', K.buckets, K.offered)
local building = call('ZCOUNT', K.leases, int(now), '+inf')
if building > 0 and ARGV[3] ~= '1' then
  call('HINCRBY', K.meta, 'revision', 1)
  return { found, building }
end

local meta = call('HGETALL', K.meta)
for i = 1, #meta, 2 do
  local name = meta[i]
  if name ~= 'protocol' and name ~= 'seq' and name ~= 'lastreap' then
    call('HSET', K.count, name, meta[i + 1])
    call('HDEL', K.meta, name)
  end
end
local waiting = {}
local ids = call('HGETALL', K.ids)
for i = 2, #ids, 2 do
  local seq = ids[i]
  local b = body(seq)
  call('HSET', jkey(seq), 'bucket', b.arch .. '|' .. b.build_class .. '|' .. b.target_repo)
  local est = call('HGET', K.durations, b.arch .. '/' .. b.pkgbase)
  if est then call('HSET', jkey(seq), 'est', est) end
  local dur = call('HGET', jkey(seq), 'dur')
  if dur then call('HSET', jkey(seq), 'dur', dur .. '000') end
  if state(seq) == 'blocked' then waiting[#waiting + 1] = seq end
end
call('HSET', K.meta, 'protocol', ARGV[2])
settle(waiting)
wake_builders, wake_database = true, true
commit()
return { ARGV[2], 0 }
