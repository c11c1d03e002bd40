-- Position and state of a live stream, at one moment.
-- KEYS: 1 position, 2 state ('devices' only, else the position again)   ARGV: 1 epoch to use if there is no stream yet, 2 'devices' or 'messages'
-- Result: {epoch, seq, id, "<epoch> <version> <json>", id, ...}
-- Guarantee: a stream that does not exist is created empty, so that every reader has a position; writers see the epoch change and
-- publish all they have again.
local stored = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
if not stored[1] then
  redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'seq', '0')
  stored = { ARGV[1], '0' }
end
local result = { stored[1], stored[2] }
if ARGV[2] == 'devices' then
  local all = redis.call('HGETALL', KEYS[2])
  for i = 1, #all do result[#result + 1] = all[i] end
end
return result
