-- Puts messages read from the ledger at the end of their lanes (owner side). May step over holes: what is not among the rows has ended.
-- KEYS  1 the partition's generation  2 its ready set
-- ARGV  1 the generation the caller believes in  2 window; then per device: device, epoch, count of lanes; per lane: lane number, count of
--       `behind` marks seen before the ledger was read, 1 when the rows are all there is, '' or the seq after which the lane is started anew
--       (what it held is cleared), the seq after which the rows were read, count of rows, the rows (seq, message id, traceparent) in rising seq
-- I1 Nothing is put into a lane that ends before the rows begin: Redis was rolled back since the look, and what lies between is not among them.
-- Answer {'LOST'}, or {'OK', one word per device: OK | MORE (some did not fit or came later) | BARE (never started) | FENCED | LOST}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return { 'LOST' } end
local base = string.sub(KEYS[1], 1, -11)
local window = tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- nil when the caller's epoch is the fence that is installed
local function refusal(prefix, epoch)
  local fence = tonumber(redis.call('GET', prefix .. ':fence') or '-1')
  if fence > epoch then return 'FENCED' end -- fence
  if fence < epoch then return 'LOST' end -- fence
  return nil
end

-- fills one lane from ARGV[i]; true when nothing is known to be left behind
local function fill(prefix, i)
  local lane, marks, complete, start, rows = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2] == '1', ARGV[i + 3], tonumber(ARGV[i + 5])
  local lastKey, stream = prefix .. ':last', prefix .. ':mb:' .. lane
  if start ~= '' then
    redis.call('DEL', stream)
    redis.call('HSET', lastKey, 'g', ARGV[1], lane, start)
  end
  local last = tonumber(redis.call('HGET', lastKey, lane) or '0')
  local length = redis.call('XLEN', stream)
  local fits, before = last >= tonumber(ARGV[i + 4]), last
  if not fits then rows = 0 end
  for r = i + 6, i + 5 + rows * 3, 3 do
    local seq = tonumber(ARGV[r])
    if seq > last then
      if length >= window then
        fits = false
        break
      end
      redis.call('XADD', stream, ARGV[r] .. '-0', 'm', ARGV[r + 1], 't', ARGV[r + 2])
      last, length = seq, length + 1
    end
  end
  if last > before then redis.call('HSET', lastKey, lane, last) end
  if complete and fits and tonumber(redis.call('HGET', lastKey, 'b' .. lane) or '0') == marks then
    redis.call('HDEL', lastKey, 'b' .. lane)
    return true
  end
  redis.call('HSETNX', lastKey, 'b' .. lane, 1)
  return false
end

local words = {}
local i = 3
while i <= #ARGV do
  local device, epoch, lanes = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local prefix = base .. 'd:' .. device
  local word = refusal(prefix, epoch)
  i = i + 3
  if word == nil and ARGV[i + 3] == '' and redis.call('HGET', prefix .. ':last', 'g') ~= ARGV[1] then word = 'BARE' end
  local whole = true
  for _ = 1, lanes do
    if word == nil and not fill(prefix, i) then whole = false end
    i = i + 6 + ARGV[i + 5] * 3
  end
  if word == nil then
    word = whole and 'OK' or 'MORE'
    local entries = 0
    for lane = 0, 2 do entries = entries + redis.call('XLEN', prefix .. ':mb:' .. lane) end
    if entries > 0 then redis.call('ZADD', KEYS[2], 'NX', now, device) else redis.call('ZREM', KEYS[2], device) end
  end
  words[#words + 1] = word
end
return { 'OK', words }
