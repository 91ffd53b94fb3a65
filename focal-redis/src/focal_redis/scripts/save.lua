-- Stores a session in both tiers and its indexes if the version that is stored is the one expected.
-- KEYS: persist, hot, all, then the indexes the session belongs in.
-- ARGV: frame, id, base, numbers: the expected version, now, ms to live, ms in the hot tier (0: none), score in the
--   indexes, expiry, score from which on an index holds the dead only, ms an index must live, whether it is forced
-- Returns 1, or the header of what is stored instead ('' for nothing): then nothing was written.
local frame, id, base, numbers = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local expected = sub(numbers, 1, 8)
local now, lives, hot, score, ends, oldest, longest, forced = struct.unpack('>i8i8i8i8i8i8i8i8', numbers, 9)
local stored = header(KEYS[1])
local is_live = stored ~= '' and expires(stored) > now
if (is_live and sub(stored, 5, 12) or '\0\0\0\0\0\0\0\0') ~= expected then return is_live and stored or '' end
if is_live then
  local same = sub(stored, 53, 60) == sub(frame, 53, 60) and sub(stored, 77, 92) == sub(frame, 77, 92)
  local opens = string.byte(stored, 4) == 5 and string.byte(frame, 4) ~= 5 and forced == 0
  if opens or not same then return stored end
end

-- Keys of another kind are refused here, as long as nothing has changed: a script is not rolled back.
for n = 3, #KEYS do call('ZSCORE', KEYS[n], id) end
-- The first write: a refusal by the server comes here.
if lives > 0 then
  call('SET', KEYS[1], frame, 'PX', lives)
  if hot > 0 then call('SET', KEYS[2], frame, 'PX', hot) end
else
  call('ZADD', KEYS[3], ends, id)
  call('DEL', KEYS[1], KEYS[2])
end
-- Cleaning up looks at the header, so that the end the first save gave it will do here.
if lives > 0 and not is_live then call('ZADD', KEYS[3], ends, id) end
if stored ~= '' and (lives <= 0 or sub(stored, INDEXED, SIZE) ~= sub(frame, INDEXED, SIZE)) then
  leave(base, id, stored, lives > 0 and frame or '')
end
for n = 4, #KEYS do
  if call('ZADD', KEYS[n], score, id) == 1 then
    call('ZREMRANGEBYSCORE', KEYS[n], oldest, '+inf')
    if call('PTTL', KEYS[n]) < longest then call('PEXPIRE', KEYS[n], longest) end
  end
end
return 1
