-- KEYS[1] the device's session  ARGV[1] epoch of the caller. Result: OK or FENCED. Only the epoch stays: it goes on refusing stale owners.
local stored = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
if tonumber(ARGV[1]) < stored then return 'FENCED' end -- fence
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'epoch', ARGV[1])
return 'OK'
