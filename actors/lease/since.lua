-- Since when the leases on this server can be believed: since it was started, or became the one that is asked, or was emptied. Any of these
-- may have taken its leases back in time.
-- KEYS: 1 the mark (string `<run id of the server>:<unix ms by its clock>`). ARGV: 1 '1' = its clock was stepped: count anew from now.
-- Answers how many ms ago that was, and the server's clock (unix ms). Whoever is the first to ask writes the mark.
local info = redis.call('INFO', 'server')
local at = string.find(info, 'run_id:', 1, true)
local run = at and string.sub(info, at + 7, at + 46) or ''
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local mark = redis.call('GET', KEYS[1])
if mark and ARGV[1] ~= '1' and string.sub(mark, 1, #run + 1) == run .. ':' then
  local since = tonumber(string.sub(mark, #run + 2))
  -- a mark of the future: the clock was stepped back
  if since <= now then return {now - since, now} end
end
redis.call('SET', KEYS[1], run .. ':' .. string.format('%.0f', now))
return {0, now}
