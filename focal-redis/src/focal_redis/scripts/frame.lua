-- What the scripts of sessions share; run in front of each. Positions are those of focal_redis/frame.py.
local call, sub = redis.call, string.sub
local SIZE, INDEXED = 158, 77

local function header(key) return call('GETRANGE', key, 0, SIZE - 1) end

local function expires(head) return (struct.unpack('>i8', head, 69)) end

-- The frame's header in the first of the keys that holds a live session, or nil.
local function live(now, ...)
  for _, key in ipairs({...}) do
    local head = header(key)
    if head ~= '' and expires(head) > now then return head end
  end
end

local function id_text(bytes)
  local x = '%02x%02x'
  local pattern = x .. x .. '-' .. x .. '-' .. x .. '-' .. x .. '-' .. x .. x .. x
  return string.format(pattern, string.byte(bytes, 1, 16))
end

-- Behind the first write of a script, where nothing may fail any more: a key of another kind holds nothing of ours.
local function removed(key, id) return redis.pcall('ZREM', key, id) end

-- Takes a session out of the indexes its header names, those aside that another header names as well.
local function leave(base, id, head, other)
  local function gone(from, to)
    local field = sub(head, from, to)
    return field ~= sub(other, from, to) and string.find(field, '[^%z]') and field
  end
  local agent, customer = gone(77, 92), gone(93, 109)
  local scenario, channel = gone(110, 126), gone(127, 158)
  if agent then removed(base .. 'index:agent:' .. id_text(agent), id) end
  if customer then removed(base .. 'index:customer:' .. id_text(sub(customer, 2)), id) end
  if scenario then removed(base .. 'index:scenario:' .. id_text(sub(scenario, 2)), id) end
  if channel then
    removed(base .. 'index:channel:' .. string.format(string.rep('%02x', 32), string.byte(channel, 1, 32)), id)
  end
end
