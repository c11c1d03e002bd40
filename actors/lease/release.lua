-- Deletes leases of one partition where the value is still the caller's token.
-- KEYS: leases. ARGV: their tokens. Answers how many were deleted. Idempotent.
local count = 0
for i = 1, #KEYS do
  if redis.call('GET', KEYS[i]) == ARGV[i] then
    redis.call('DEL', KEYS[i])
    count = count + 1
  end
end
return count
