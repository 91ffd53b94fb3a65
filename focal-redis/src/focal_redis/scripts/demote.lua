-- Takes a session out of the hot tier, and keeps it compressed unless it was saved meanwhile.
-- KEYS: persist, hot. ARGV: now, its compressed frame or ''. Returns whether there is such a session.
if not live(tonumber(ARGV[1]), KEYS[1], KEYS[2]) then return 0 end
if ARGV[2] ~= '' and sub(header(KEYS[1]), 4) == sub(ARGV[2], 4, SIZE) then
  call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
end
call('DEL', KEYS[2])
return 1
