-- Renews leases of one partition and checks the generation and the fences beside them.
-- KEYS: 1 generation; then for lease i: lease (2i), fence (2i + 1).
-- ARGV: 1 generation believed in, '' = generation and fences live on another server (not checked); 2 TTL in ms, 0 = the leases
-- live on another server (not touched); 3 '1' = put back a lease that this server has forgotten (only with several lock masters;
-- it is no vote this time); then for lease i: token (2i + 2), epoch (2i + 3).
-- Answers LOST_MISSING, LOST_CHANGED or LOST_FENCE, or one letter per lease: k kept, l lost, f fenced, r put back.
-- Idempotent; a lease is only touched where its value is the caller's token.
local check = ARGV[1] ~= ''
if check then
  local stored = redis.call('GET', KEYS[1])
  if not stored then return 'LOST_MISSING' end
  if stored ~= ARGV[1] then return 'LOST_CHANGED' end
end
local answers = {}
for i = 1, (#KEYS - 1) / 2 do
  local lease, fence = KEYS[2 * i], KEYS[2 * i + 1]
  local token, epoch = ARGV[2 * i + 2], tonumber(ARGV[2 * i + 3])
  local answer = 'k'
  if check then
    local installed = tonumber(redis.call('GET', fence) or '-1')
    if installed < epoch then return 'LOST_FENCE' end
    if installed > epoch then answer = 'f' end -- fence
  end
  if answer == 'k' and ARGV[2] ~= '0' then
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
  answers[i] = answer
end
return table.concat(answers)
