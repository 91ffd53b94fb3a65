-- Keeps a copy of another store's session in the hot tier, unless a newer one is there.
-- KEYS: hot. ARGV: frame, now, ms to live. Returns whether it was kept.
local kept = live(tonumber(ARGV[2]), KEYS[1])
if kept and struct.unpack('>I8', kept, 5) > struct.unpack('>I8', ARGV[1], 5) then return 0 end
call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return 1
