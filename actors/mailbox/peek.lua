-- Takes away what has ended and shows the heads of the lanes (owner side).
-- KEYS  1 the partition's generation  2 its ready set
-- ARGV  1 the generation the caller believes in  2 heads wanted per lane (0 = only take away)  3 a lane with at most this many entries
--       has room for a refill; then per device: device, epoch, count of acks, the acks (lane number, seq)
-- Answer {'LOST'}, or {'OK', per device: 'FENCED' | 'LOST' | 'BARE' (never started) | {behind, {lane 0}, {lane 1}, {lane 2}}}: `behind`
--       has bit 2^lane where the ledger is known to hold more and there is room, a lane being seq, message id, traceparent of each head in turn
-- I1 a device stands in the ready set exactly while one of its lanes holds an entry, I2 an ack of what is gone changes nothing
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return { 'LOST' } end
local base = string.sub(KEYS[1], 1, -11)
local wanted, room = tonumber(ARGV[2]), tonumber(ARGV[3])

-- nil when the caller's epoch is the fence that is installed
local function refusal(prefix, epoch)
  local fence = tonumber(redis.call('GET', prefix .. ':fence') or '-1')
  if fence > epoch then return 'FENCED' end -- fence
  if fence < epoch then return 'LOST' end -- fence
  return nil
end

local function heads(stream)
  local flat = {}
  for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+', 'COUNT', wanted)) do
    local fields = entry[2]
    flat[#flat + 1] = string.sub(entry[1], 1, -3)
    flat[#flat + 1] = fields[2]
    flat[#flat + 1] = fields[4]
  end
  return flat
end

local function show(device, prefix, i, acks)
  local touched = {}
  for a = i, i + acks * 2 - 1, 2 do
    redis.call('XDEL', prefix .. ':mb:' .. ARGV[a], ARGV[a + 1] .. '-0')
    touched[ARGV[a]] = true
  end
  local known = redis.call('HMGET', prefix .. ':last', 'g', 'b0', 'b1', 'b2')
  local empty, behind, full = true, 0, { false, false, false }
  for lane = 0, 2 do
    local stream = prefix .. ':mb:' .. lane
    local length = redis.call('XLEN', stream)
    if known[lane + 2] and length <= room then behind = behind + 2 ^ lane end
    if length > 0 then
      empty = false
      full[lane + 1] = stream
    elseif touched[tostring(lane)] then
      redis.call('DEL', stream)
    end
  end
  if empty then redis.call('ZREM', KEYS[2], device) end
  if known[1] ~= ARGV[1] then return 'BARE' end
  local answer = { behind, {}, {}, {} }
  if wanted == 0 then return answer end
  for lane = 1, 3 do
    if full[lane] then answer[lane + 1] = heads(full[lane]) end
  end
  return answer
end

local answers = {}
local i = 4
while i <= #ARGV do
  local device, epoch, acks = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local prefix = base .. 'd:' .. device
  local answer = refusal(prefix, epoch)
  if answer == nil then answer = show(device, prefix, i + 3, acks) end
  answers[#answers + 1] = answer
  i = i + 3 + acks * 2
end
return { 'OK', answers }
