-- KEYS[1] the device's session (hash: `epoch`, `creds`, `<type>\0<id>`)  ARGV[1] epoch of the caller, then pairs of field and value ('' = delete).
-- Result: OK or FENCED. The highest epoch that ever came stays in the hash; all fields are written or none.
local stored = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
if tonumber(ARGV[1]) < stored then return 'FENCED' end -- fence
redis.call('HSET', KEYS[1], 'epoch', ARGV[1])
for i = 2, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', KEYS[1], ARGV[i])
  else
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
return 'OK'
