-- Renews leases of one partition and checks the generation and the fences beside them.
-- KEYS: 1 generation (its name is the stem of the leases' and fences': all are in one slot).
-- ARGV: 1 generation believed in, '' = generation and fences live on another server (not checked); 2 TTL in ms, 0 = the leases
-- live on another server (not touched); 3 '1' = put back a lease that this server has forgotten (only with several lock masters;
-- it is no vote this time); then for each lease: device, token, epoch.
-- Answers LOST_MISSING, LOST_CHANGED or LOST_FENCE, or one letter per lease: k kept, l lost, f fenced, r put back.
-- Idempotent; a lease is only touched where its value is the caller's token.
local check = ARGV[1] ~= ''
if check then
  local stored = redis.call('GET', KEYS[1])
  if not stored then return 'LOST_MISSING' end
  if stored ~= ARGV[1] then return 'LOST_CHANGED' end
end
local stem = string.sub(KEYS[1], 1, -11) .. 'd:'
local answers = {}
for i = 4, #ARGV, 3 do
  local device, token, epoch = stem .. ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local answer = 'k'
  if check then
    local installed = tonumber(redis.call('GET', device .. ':fence') or '-1')
    if installed < epoch then return 'LOST_FENCE' end
    if installed > epoch then answer = 'f' end -- fence
  end
  if answer == 'k' and ARGV[2] ~= '0' then
    local lease = device .. ':lease'
    local holder = redis.call('GET', lease)
    if holder == token then
      redis.call('PEXPIRE', lease, ARGV[2])
    elseif not holder and ARGV[3] == '1' then
      redis.call('SET', lease, token, 'PX', ARGV[2])
      answer = 'r'
    else
      answer = 'l'
    end
  end
  answers[#answers + 1] = answer
end
return table.concat(answers)
