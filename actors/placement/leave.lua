-- Takes a node out of the registry if the name is still this instance's.
-- KEYS: 1 node key, 2 nodes set. ARGV: 1 instance text, 2 node id.
local stored = redis.call('GET', KEYS[1])
if not stored or not string.find(stored, ARGV[1], 1, true) then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[2])
return 1
