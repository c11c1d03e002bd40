-- Renews the presence of link sockets of one partition. KEYS: presence keys. ARGV[1]: TTL in ms, then one value per key.
-- Per key: 1 = it is this socket's (renewed, or set again after Redis lost it), 0 = another socket's.
local answers = {}
for i, key in ipairs(KEYS) do
  local value = redis.call('GET', key)
  if value == false or value == ARGV[i + 1] then
    redis.call('SET', key, ARGV[i + 1], 'PX', ARGV[1])
    answers[i] = 1
  else
    answers[i] = 0
  end
end
return answers
