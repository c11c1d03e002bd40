-- Numbers, logs and publishes one batch of a tenant's live stream; for devices also keeps the latest record of each.
-- KEYS: 1 position (hash epoch, seq), 2 log (stream), 3 state (hash id -> "<epoch> <version> <json>" or "removed"; devices only, else the
--       log again), 4 removed (ZSET id -> unix ms; devices only, else the log again)
-- ARGV: 1 channel, 2 epoch to use if a new one is needed, 3 epoch and 4 seq this writer saw last ('' and 0: none), 5 wall ms,
--       6 log length, 7 '1' = start a new epoch (the writer had to drop events), 8 'devices' or 'messages', 9 life of a removal in ms,
--       then per record: devices id, epoch ('removed' for one that is gone), version, json; messages json
-- Result: {epoch, seq, 1 if the epoch is new, records that counted}
-- Guarantee: seq is dense inside an epoch and given once: one for a batch of devices, one for each message event. A device record that is
-- not newer than the stored one by (epoch, version), or whose device is removed, changes nothing. A missing position, or one behind what a
-- writer has seen (Redis lost or rolled back), starts a new epoch.
local stored = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
local epoch, seq, created = stored[1], tonumber(stored[2] or '0'), 0
if not epoch or ARGV[7] == '1' or (epoch == ARGV[3] and seq < tonumber(ARGV[4])) then
  epoch, seq, created = ARGV[2], 0, 1
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'seq', '0')
end
local counted = {}
if ARGV[8] == 'devices' then
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  local old = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', string.format('%.0f', now - tonumber(ARGV[9])), 'LIMIT', 0, 100)
  for i = 1, #old do
    redis.call('HDEL', KEYS[3], old[i])
    redis.call('ZREM', KEYS[4], old[i])
  end
  for i = 10, #ARGV, 4 do
    local id, e, json = ARGV[i], ARGV[i + 1], ARGV[i + 3]
    local known = redis.call('HGET', KEYS[3], id)
    local newer = known ~= 'removed'
    if newer and e == 'removed' then
      redis.call('HSET', KEYS[3], id, 'removed')
      redis.call('ZADD', KEYS[4], string.format('%.0f', now), id)
    elseif newer then
      if known then
        local ke, kv = string.match(known, '^(%d+) (%d+) ')
        ke, kv = tonumber(ke), tonumber(kv)
        newer = tonumber(e) > ke or (tonumber(e) == ke and tonumber(ARGV[i + 2]) > kv)
      end
      if newer then redis.call('HSET', KEYS[3], id, e .. ' ' .. ARGV[i + 2] .. ' ' .. json) end
    end
    if newer then counted[#counted + 1] = json end
  end
else
  for i = 10, #ARGV do counted[#counted + 1] = ARGV[i] end
end
if #counted > 0 or created == 1 then
  local step = 1
  if ARGV[8] == 'messages' and #counted > 1 then step = #counted end
  local next = string.format('%.0f', seq + step)
  local batch = '{"epoch":"' .. epoch .. '","from":' .. string.format('%.0f', seq) .. ',"seq":' .. next
    .. ',"at":' .. ARGV[5] .. ',"records":[' .. table.concat(counted, ',') .. ']}'
  redis.call('HSET', KEYS[1], 'seq', next)
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[6], next .. '-0', 'b', batch)
  redis.call('PUBLISH', ARGV[1], batch)
  seq = seq + step
end
return { epoch, string.format('%.0f', seq), created, #counted }
