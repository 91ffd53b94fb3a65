-- Stores an entry unless it was written since its generations were read, or a newer version of it is there.
-- KEYS: entry, its generations.  ARGV: life of the entry and of a generation in ms, '1' to mark the first generation
-- as that of a profile that stands for itself, the frame, a token for each generation.
for i = 2, #KEYS do
  local generation = redis.call('GET', KEYS[i])
  if not generation or string.sub(generation, 1, 8) ~= ARGV[3 + i] then return 0 end
end
-- The frame: 4 bytes of format, flags, 8 of time, 8 of version, 8 for each generation.
local frame, size = ARGV[4], 21 + 8 * (#KEYS - 1)
local there = redis.call('GETRANGE', KEYS[1], 0, size - 1)
if #there == size and string.sub(there, 1, 4) == string.sub(frame, 1, 4)
    and string.sub(there, 22) == string.sub(frame, 22, size)
    and struct.unpack('>I8', there, 14) > struct.unpack('>I8', frame, 14) then
  return 0
end
redis.call('SET', KEYS[1], frame, 'PX', ARGV[1])
for i = 2, #KEYS do redis.call('PEXPIRE', KEYS[i], ARGV[2]) end
if ARGV[3] == '1' then redis.call('SET', KEYS[2], ARGV[5] .. '1', 'PX', ARGV[2]) end
return 1
