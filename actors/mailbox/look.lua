-- How far the lanes of some devices are filled (owner side, before a refill). Changes nothing, so it is not fenced.
-- KEYS  1 the partition's generation
-- ARGV  1 the generation the caller believes in; then the devices
-- Answer {'LOST'}, or {'OK', per device {count of `behind` marks, last seq of lane 0, 1, 2}, without the seqs when it was never started}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return { 'LOST' } end
local base = string.sub(KEYS[1], 1, -11)
local answers = {}
for i = 2, #ARGV do
  local known = redis.call('HMGET', base .. 'd:' .. ARGV[i] .. ':last', 'g', 'b', '0', '1', '2')
  if known[1] ~= ARGV[1] then
    answers[#answers + 1] = { known[2] or '0' }
  else
    answers[#answers + 1] = { known[2] or '0', known[3] or '0', known[4] or '0', known[5] or '0' }
  end
end
return { 'OK', answers }
