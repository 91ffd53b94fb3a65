-- Removes a session, or a copy of one, from both tiers and all indexes.
-- KEYS: persist, hot, all. ARGV: id, base, now. Returns whether there was one.
local now = tonumber(ARGV[3])
local head = live(now, KEYS[1], KEYS[2])
if not head then return 0 end
call('DEL', KEYS[1], KEYS[2])
removed(KEYS[3], ARGV[1])
leave(ARGV[2], ARGV[1], head, '')
return 1
