-- Before a write: nothing of what it concerns is read from here, or filled, until it is over or the fence has expired.
-- KEYS: entry, generation, fence, and so on.  ARGV: the writer, life of the fence in ms.  Returns the generations.
local found = {}
for i = 1, #KEYS, 3 do
  found[#found + 1] = redis.call('GET', KEYS[i + 1])
  -- A server without memory to spare refuses a script that begins with anything but a deletion.
  redis.call('DEL', KEYS[i], KEYS[i + 1])
  redis.call('SADD', KEYS[i + 2], ARGV[1])
  redis.call('PEXPIRE', KEYS[i + 2], ARGV[2])
end
return found
