-- Which lanes have gone past a message that is still open in the ledger (owner side, a check). Changes nothing, so it is not fenced.
-- KEYS  1 the partition's generation
-- ARGV  1 the generation the caller believes in; then three per lane: device, lane number, seq of its oldest open message
-- Answer {'LOST'}, or {'OK', one letter per lane: A astray (last is not below that seq, and no entry is at or before it), H held or still to come}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return { 'LOST' } end
local base = string.sub(KEYS[1], 1, -11)
local letters = {}
for i = 2, #ARGV, 3 do
  local prefix = base .. 'd:' .. ARGV[i]
  local lane, seq = ARGV[i + 1], tonumber(ARGV[i + 2])
  local known = redis.call('HMGET', prefix .. ':last', 'g', lane)
  local letter = 'H'
  if known[1] == ARGV[1] and seq <= tonumber(known[2] or 0) then
    local shown = redis.call('XRANGE', prefix .. ':mb:' .. lane, '-', '+', 'COUNT', 1)
    local first = shown[1]
    if not first or tonumber(string.sub(first[1], 1, -3)) > seq then letter = 'A' end
  end
  letters[#letters + 1] = letter
end
return { 'OK', table.concat(letters) }
