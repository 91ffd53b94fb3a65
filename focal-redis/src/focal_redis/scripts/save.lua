-- Stores a session in both tiers and its indexes if the version that is stored is the one expected.
-- KEYS: persist, hot, all, then the indexes the session belongs in.
-- ARGV: frame, id, base, expected version, now, ms to live, ms in the hot tier (0: none), score in the indexes,
--   expiry, score of what is too old for an index, ms an index lives, whether it is forced
-- Returns 1, or the header of what is stored instead ('' for nothing): then nothing was written.
local frame, id, base, now, lives, hot = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local stored = header(KEYS[1])
local is_live = stored ~= '' and expires(stored) > now
if (is_live and sub(stored, 5, 12) or '\0\0\0\0\0\0\0\0') ~= ARGV[4] then return is_live and stored or '' end
if is_live then
  local same = sub(stored, 53, 60) == sub(frame, 53, 60) and sub(stored, 77, 92) == sub(frame, 77, 92)
  local opens = string.byte(stored, 4) == 5 and string.byte(frame, 4) ~= 5 and ARGV[12] == '0'
  if opens or not same then return stored end
end

-- The first write: a refusal by the server comes here, before anything has changed.
if lives > 0 then
  call('SET', KEYS[1], frame, 'PX', lives)
  if hot > 0 then call('SET', KEYS[2], frame, 'PX', hot) end
else
  call('ZADD', KEYS[3], ARGV[9], id)
  call('DEL', KEYS[1], KEYS[2])
end
-- Cleaning up looks at the header, so that the time of the first save will do here.
if lives > 0 and not is_live then call('ZADD', KEYS[3], ARGV[9], id) end
if stored ~= '' and (lives <= 0 or sub(stored, INDEXED, SIZE) ~= sub(frame, INDEXED, SIZE)) then
  leave(base, id, stored, lives > 0 and frame or '')
end
for n = 4, #KEYS do
  if call('ZADD', KEYS[n], ARGV[8], id) == 1 then
    call('ZREMRANGEBYSCORE', KEYS[n], ARGV[10], '+inf')
    if call('PTTL', KEYS[n]) < tonumber(ARGV[11]) then call('PEXPIRE', KEYS[n], ARGV[11]) end
  end
end
return 1
