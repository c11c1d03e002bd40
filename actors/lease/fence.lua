-- Installs the fences of one partition's new owners.
-- KEYS: 1 generation; then the fence of each device. ARGV: 1 generation believed in; then the epoch of each device.
-- Answers LOST_MISSING or LOST_CHANGED (nothing installed), or one letter per device: k installed, f refused (a higher one stands).
-- Idempotent: an epoch is minted once, so an equal fence is the caller's own.
local stored = redis.call('GET', KEYS[1])
if not stored then return 'LOST_MISSING' end
if stored ~= ARGV[1] then return 'LOST_CHANGED' end
local answers = {}
for i = 2, #KEYS do
  local refused = false
  if tonumber(redis.call('GET', KEYS[i]) or '-1') > tonumber(ARGV[i]) then refused = true end -- fence
  if not refused then redis.call('SET', KEYS[i], ARGV[i]) end
  answers[i - 1] = refused and 'f' or 'k'
end
return table.concat(answers)
