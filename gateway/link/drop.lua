-- Takes a presence away if it is still this socket's. KEYS[1]: presence key. ARGV[1]: its value. 1 = taken away.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
