-- Hands leases of one partition over: the value changes from the caller's token to the target's, the time to live stays.
-- KEYS: leases. ARGV: for lease i its token (2i - 1) and the target's token (2i).
-- Answers one letter per lease: k handed over (or already the target's), l no longer the caller's. Idempotent.
local answers = {}
for i = 1, #KEYS do
  local holder = redis.call('GET', KEYS[i])
  if holder == ARGV[2 * i - 1] then
    redis.call('SET', KEYS[i], ARGV[2 * i], 'KEEPTTL')
    answers[i] = 'k'
  elseif holder == ARGV[2 * i] then
    answers[i] = 'k'
  else
    answers[i] = 'l'
  end
end
return table.concat(answers)
