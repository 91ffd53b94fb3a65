-- After a write: what it concerns gets a new generation, unless another writer's fence stands.
-- KEYS: entry, generation, fence, and so on.  ARGV: life of a generation in ms, the writer, and for each a mark and a
-- token. The mark is that of the generation; 'x' takes every fence away, so that their writers notice.
-- Returns for each whether the writer's fence still stood, and how many others' did.
local told = {}
for i = 1, #KEYS, 3 do
  local at = 3 + 2 * (i - 1) / 3
  redis.call('DEL', KEYS[i], KEYS[i + 1])
  local stood = redis.call('SREM', KEYS[i + 2], ARGV[2])
  local others = redis.call('SCARD', KEYS[i + 2])
  if ARGV[at] == 'x' then
    redis.call('DEL', KEYS[i + 2])
  elseif others == 0 then
    local mark = stood == 1 and ARGV[at] or '0'
    redis.call('SET', KEYS[i + 1], ARGV[at + 1] .. mark, 'PX', ARGV[1])
  end
  told[#told + 1] = stood
  told[#told + 1] = others
end
return told
