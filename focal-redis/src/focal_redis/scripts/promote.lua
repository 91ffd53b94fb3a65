-- Puts a session into the hot tier, or restarts its time there.
-- KEYS: persist, hot. ARGV: now, ms in the hot tier, whether to return the frame. Returns it, or 1; nil for none.
local now = tonumber(ARGV[1])
for _, key in ipairs({KEYS[2], KEYS[1]}) do
  local frame = call('GET', key)
  if frame and expires(frame) > now then
    if key == KEYS[2] then call('PEXPIRE', key, ARGV[2]) else call('SET', KEYS[2], frame, 'PX', ARGV[2]) end
    return ARGV[3] == '1' and frame or 1
  end
end
return false
