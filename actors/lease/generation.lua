-- Sets a partition's generation once: where there is none, or (rollback) where it is still the one the caller found to be old.
-- KEYS: 1 generation. ARGV: 1 a random text, 2 the value to replace or ''.
-- Answers the value that stands: `<random>:<unix ms by the server's clock>`. Whoever comes second gets the first one's.
local stored = redis.call('GET', KEYS[1])
if stored and (ARGV[2] == '' or stored ~= ARGV[2]) then return stored end
local time = redis.call('TIME')
local value = ARGV[1] .. ':' .. string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
redis.call('SET', KEYS[1], value)
return value
