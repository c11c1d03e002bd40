-- One heartbeat of a node: registers the name for this instance, or says who has it.
-- KEYS: 1 node key, 2 nodes set. ARGV: 1 instance text as it stands in the JSON (`"instance":"…"`), 2 JSON, 3 life in ms, 4 node id.
-- The entry's score in the set is the unix ms (this server's clock) until which it counts: a hint; the key's own TTL decides.
-- Answers OK, or TAKEN followed by the JSON of the other instance.
local stored = redis.call('GET', KEYS[1])
if stored and not string.find(stored, ARGV[1], 1, true) then return 'TAKEN' .. stored end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
local time = redis.call('TIME')
local till = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + tonumber(ARGV[3])
redis.call('ZADD', KEYS[2], string.format('%.0f', till), ARGV[4])
return 'OK'
