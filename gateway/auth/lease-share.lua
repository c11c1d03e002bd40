-- Takes tokens from a bucket that every gateway of the installation shares; refilled by Redis' own time, full when nobody has asked for a while.
-- KEYS[1] the bucket  ARGV: 1 tokens a second  2 most it holds  3 tokens wanted
-- Result: {tokens given, at most the wanted; ms until the next one is there, 0 = now}. Losing the key fills the bucket.
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local rate, most, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local known = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = most
if known[1] then
  -- time may step back: nothing is refilled then
  tokens = math.min(most, tonumber(known[1]) + math.max(0, now - tonumber(known[2])) * rate / 1000)
end
local given = math.min(math.floor(tokens), wanted)
tokens = tokens - given
redis.call('HSET', KEYS[1], 'tokens', tokens, 'at', now)
redis.call('PEXPIRE', KEYS[1], math.ceil(most / rate * 1000) + 1000)
return {given, tokens >= 1 and 0 or math.ceil((1 - tokens) / rate * 1000)}
