-- How many devices of the whole fleet connect at once, and the breaker that holds all back when many are refused alike (405, 503).
-- KEYS  1 places: ZSET device -> ms at which its place is taken away  2 refused: ZSET device -> ms  3 breaker: hash code, nextProbe (absent = closed)
-- ARGV  1 verb (ask, end)  2 device  3 places there are  4 life of a place, ms  5 devices that open the breaker  6 its window, ms  7 between probes, ms
--       8 how it ended (end): 'opened', a code, or ''
-- Answer to ask: {'GO'} or {'WAIT', ms, code or ''}; to end: {'OK', what became of the breaker: '', 'opened' or 'closed'}
-- G1 at most ARGV 3 places are taken. G2 open: one connect at a time, the next not before `nextProbe`. G3 one login closes it for all.
-- Nothing in it outlives an hour: a fleet that is gone leaves nothing behind.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local verb, device = ARGV[1], ARGV[2]
if verb == 'ask' then
  local probe = tonumber(redis.call('HGET', KEYS[3], 'nextProbe') or false)
  if probe then
    if now < probe then return { 'WAIT', probe - now, redis.call('HGET', KEYS[3], 'code') } end
    redis.call('HSET', KEYS[3], 'nextProbe', now + tonumber(ARGV[7]))
  end
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
  if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) and not redis.call('ZSCORE', KEYS[1], device) then return { 'WAIT', 200, '' } end
  redis.call('ZADD', KEYS[1], now + tonumber(ARGV[4]), device)
  redis.call('PEXPIRE', KEYS[1], 3600000)
  return { 'GO' }
end
redis.call('ZREM', KEYS[1], device)
if ARGV[8] == 'opened' then
  redis.call('DEL', KEYS[2])
  return { 'OK', redis.call('DEL', KEYS[3]) == 1 and 'closed' or '' }
end
if ARGV[8] == '' then return { 'OK', '' } end
redis.call('ZADD', KEYS[2], now, device)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[6]))
redis.call('PEXPIRE', KEYS[2], 3600000)
if redis.call('EXISTS', KEYS[3]) == 1 or redis.call('ZCARD', KEYS[2]) < tonumber(ARGV[5]) then return { 'OK', '' } end
redis.call('HSET', KEYS[3], 'code', ARGV[8], 'nextProbe', now + tonumber(ARGV[7]))
redis.call('PEXPIRE', KEYS[3], 3600000)
return { 'OK', 'opened' }
