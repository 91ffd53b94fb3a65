-- Removes sessions that have expired, from both tiers and all indexes.
-- KEYS: all. ARGV: base, now, how many to look at. Returns how many were looked at and how many were removed.
local base, now = ARGV[1], tonumber(ARGV[2])
local due = call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[2], 'LIMIT', 0, ARGV[3])
local removed = 0
for _, id in ipairs(due) do
  local persist = base .. 'persist:' .. id
  local head = header(persist)
  local ends = head ~= '' and expires(head)
  if ends and ends > now then
    call('ZADD', KEYS[1], ends, id)
  else
    call('ZREM', KEYS[1], id)
    call('DEL', persist, base .. 'hot:' .. id)
    if ends then leave(base, id, head, '') end
    removed = removed + 1
  end
end
return {#due, removed}
