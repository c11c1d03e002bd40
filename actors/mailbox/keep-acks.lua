-- Keeps acks of link devices of one partition until the ledger has them.
-- KEYS[1] acks   ARGV[1] most entries, ARGV[2] life of the whole in ms, then pairs of field and value
-- Result: 1 per pair kept, 0 where there is no room. Repeats are harmless: a field holds what was said last.
local answers = {}
local held = redis.call('HLEN', KEYS[1])
for i = 3, #ARGV, 2 do
  local new = redis.call('HEXISTS', KEYS[1], ARGV[i]) == 0
  if new and held >= tonumber(ARGV[1]) then
    answers[#answers + 1] = 0
  else
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    if new then held = held + 1 end
    answers[#answers + 1] = 1
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return answers
