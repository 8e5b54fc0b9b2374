-- One page of what is in the queue; the first page also has all that is not a job. Changes nothing.
-- KEYS  1 the prefix of all keys (keys.go)
-- ARGV  1 protocol  2 cursor of HSCAN, 0 first  3 rows wanted
-- Gives {next cursor, revision, now ms, {row…}, rest}: a row is {SEQ, body, fields of j:SEQ as a flat list}; rest, on the first page,
--       {meta, builders, seen, cleanups, lines, drained, held}: flat lists; meta is counters; lines is {target repo, {task…}, hold as a flat list, …}.

local page = call('HSCAN', K.ids, ARGV[2], 'COUNT', ARGV[3])
local rows = {}
for i = 2, #page[2], 2 do
  local seq = page[2][i]
  rows[#rows + 1] = { seq, call('HGET', K.bodies, seq), call('HGETALL', jkey(seq)) }
end
local rest = {}
if ARGV[2] == '0' then
  local lines = {}
  for _, repo in ipairs(call('SMEMBERS', K.lines)) do
    lines[#lines + 1] = repo
    lines[#lines + 1] = call('ZRANGE', P .. 'line:' .. repo, 0, -1)
    lines[#lines + 1] = call('HGETALL', P .. 'hold:' .. repo)
  end
  rest = { call('HGETALL', K.count), call('HGETALL', K.builders), call('ZRANGE', K.seen, 0, -1, 'WITHSCORES'),
    call('HGETALL', K.cleanups), lines, call('SMEMBERS', K.drained), call('SMEMBERS', K.held) }
end
return { page[1], call('HGET', K.count, 'revision') or '0', int(now), rows, rest }
