-- The generations an entry may be filled under, made where there is none; false while a writer's fence stands.
-- KEYS: generation, fence, and so on.  ARGV: life of a generation in ms, a token for each pair.
for i = 2, #KEYS, 2 do
  if redis.call('EXISTS', KEYS[i]) == 1 then return false end
end
local found = {}
for i = 1, #KEYS, 2 do
  local generation = redis.call('GET', KEYS[i])
  if not generation then
    generation = ARGV[1 + (i + 1) / 2] .. '0'
    redis.call('SET', KEYS[i], generation, 'PX', ARGV[1])
  end
  found[#found + 1] = generation
end
return found
