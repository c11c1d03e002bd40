-- Puts accepted messages at the end of their lanes (gateway side, after the ledger's commit). A hint: whoever is not put here is refilled.
-- KEYS  1 the partition's generation  2 its ready set
-- ARGV  1 the generation the caller believes in  2 window  3 bell channel; then five per entry: device, lane number, seq, message id, traceparent
-- Answer {'LOST'}, or {'OK', one letter per entry}: O put, D already there (a repeat), B behind: the owner has to refill
-- I1 per lane the entries are the ledger's in rising seq without a gap that is still open, I2 at most `window` of them, I3 a repeat changes nothing
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return { 'LOST' } end
local base = string.sub(KEYS[1], 1, -11)
local window = tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local codes = {}
for i = 4, #ARGV, 5 do
  local device, lane, seq = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local prefix = base .. 'd:' .. device
  local lastKey, stream = prefix .. ':last', prefix .. ':mb:' .. lane
  local known = redis.call('HMGET', lastKey, 'g', lane)
  local last = known[1] == ARGV[1] and tonumber(known[2]) or nil
  local code
  if last and seq <= last then
    code = 'D'
  elseif last and seq == last + 1 and redis.call('XLEN', stream) < window then
    redis.call('XADD', stream, ARGV[i + 2] .. '-0', 'm', ARGV[i + 3], 't', ARGV[i + 4])
    redis.call('HSET', lastKey, lane, ARGV[i + 2])
    redis.call('ZADD', KEYS[2], 'NX', now, device)
    if redis.call('XLEN', stream) == 1 then redis.call('PUBLISH', ARGV[3], 'w' .. device) end
    code = 'O'
  else
    if redis.call('HINCRBY', lastKey, 'b' .. lane, 1) == 1 then redis.call('PUBLISH', ARGV[3], 'b' .. device) end
    code = 'B'
  end
  codes[#codes + 1] = code
end
return { 'OK', table.concat(codes) }
