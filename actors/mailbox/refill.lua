-- Puts messages read from the ledger at the end of their lanes (owner side). May step over holes: what is not among the rows has ended.
-- KEYS  1 the partition's generation  2 its ready set
-- ARGV  1 the generation the caller believes in  2 window; then per device: device, epoch, count of `behind` marks seen before the ledger was
--       read, 1 when the rows are all there is, count of `start` pairs, count of rows, the pairs (lane number, last seq before the first row) which
--       clear the mailbox and start it anew, the rows (lane number, seq, message id, traceparent) in rising seq
-- Answer {'LOST'}, or {'OK', one word per device: OK | MORE (some did not fit or came later) | BARE (never started) | FENCED | LOST}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return { 'LOST' } end
local base = string.sub(KEYS[1], 1, -11)
local window = tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- 'OK' when the caller's epoch is the fence that is installed
local function standing(prefix, epoch)
  local fence = tonumber(redis.call('GET', prefix .. ':fence') or '-1')
  if fence > epoch then return 'FENCED' end -- fence
  if fence < epoch then return 'LOST' end -- fence
  return 'OK'
end

local function fill(device, prefix, i, starts, rows, marks, complete)
  local lastKey = prefix .. ':last'
  if starts > 0 then
    redis.call('DEL', prefix .. ':mb:0', prefix .. ':mb:1', prefix .. ':mb:2')
    redis.call('ZREM', KEYS[2], device)
    redis.call('HSET', lastKey, 'g', ARGV[1])
    for s = i, i + starts * 2 - 1, 2 do redis.call('HSET', lastKey, ARGV[s], ARGV[s + 1]) end
  elseif redis.call('HGET', lastKey, 'g') ~= ARGV[1] then
    return 'BARE'
  end
  local full, put = {}, false
  local from = i + starts * 2
  for r = from, from + rows * 4 - 1, 4 do
    local lane, seq = ARGV[r], tonumber(ARGV[r + 1])
    local stream = prefix .. ':mb:' .. lane
    if not full[lane] and seq > tonumber(redis.call('HGET', lastKey, lane) or '0') then
      if redis.call('XLEN', stream) < window then
        redis.call('XADD', stream, ARGV[r + 1] .. '-0', 'm', ARGV[r + 2], 't', ARGV[r + 3])
        redis.call('HSET', lastKey, lane, ARGV[r + 1])
        put = true
      else
        full[lane] = true
      end
    end
  end
  if put then redis.call('ZADD', KEYS[2], 'NX', now, device) end
  if complete and next(full) == nil and (redis.call('HGET', lastKey, 'b') or '0') == marks then
    redis.call('HDEL', lastKey, 'b')
    return 'OK'
  end
  redis.call('HSETNX', lastKey, 'b', 1)
  return 'MORE'
end

local words = {}
local i = 3
while i <= #ARGV do
  local device, epoch, marks, complete = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2], ARGV[i + 3] == '1'
  local starts, rows = tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5])
  local prefix = base .. 'd:' .. device
  local word = standing(prefix, epoch)
  if word == 'OK' then word = fill(device, prefix, i + 6, starts, rows, marks, complete) end
  words[#words + 1] = word
  i = i + 6 + starts * 2 + rows * 4
end
return { 'OK', words }
