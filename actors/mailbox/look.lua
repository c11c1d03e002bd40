-- How far the lanes of some devices are filled (owner side, before a refill). Changes nothing, so it is not fenced.
-- KEYS  1 the partition's generation
-- ARGV  1 the generation the caller believes in; then the devices
-- Answer {'LOST'}, or {'OK', per device {1 when it was started in this generation, then per lane: count of `behind` marks, last seq, entries}}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return { 'LOST' } end
local base = string.sub(KEYS[1], 1, -11)
local answers = {}
for i = 2, #ARGV do
  local prefix = base .. 'd:' .. ARGV[i]
  local known = redis.call('HMGET', prefix .. ':last', 'g', 'b0', '0', 'b1', '1', 'b2', '2')
  local answer = { known[1] == ARGV[1] and 1 or 0 }
  for lane = 0, 2 do
    answer[#answer + 1] = tonumber(known[lane * 2 + 2] or 0)
    answer[#answer + 1] = tonumber(known[lane * 2 + 3] or 0)
    answer[#answer + 1] = redis.call('XLEN', prefix .. ':mb:' .. lane)
  end
  answers[#answers + 1] = answer
end
return { 'OK', answers }
