-- Walks an index from the newest session on, and takes out whatever is there no more or belongs elsewhere.
-- KEYS: the index. ARGV: base, now, first and last byte of the header's field that names the index, its value there,
--   status ('': any), agent ('': any), matches to pass over, matches to return, score to begin at, id to begin behind,
--   ms in the hot tier for what is returned (0: leave it where it is)
-- Returns the score and the id to go on from ('' at the end of the index), the matches still to be passed over, then
--   id and frame of each match. Work is bounded, so there may be fewer than asked for.
local MEMBERS, BYTES, WINDOW = 1000, 1048576, 100
local index, base, now = KEYS[1], ARGV[1], tonumber(ARGV[2])
local from, to, value, status, agent = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[6], ARGV[7]
local skip, left, score, last = tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10], ARGV[11]

local function behind(id)
  for n = 1, #last do
    local ours, theirs = string.byte(id, n), string.byte(last, n)
    if ours ~= theirs then return ours > theirs end
  end
  return last == ''
end

local found, dead, bytes, looked, offset = {'', '', skip}, {}, 0, 0, 0
local start, is_end = score, false
while left > 0 and looked < MEMBERS and bytes < BYTES and not is_end do
  local members = call('ZRANGEBYSCORE', index, start, '+inf', 'WITHSCORES', 'LIMIT', offset, WINDOW)
  is_end = #members < 2 * WINDOW
  offset = offset + WINDOW
  for n = 1, #members, 2 do
    local id = members[n]
    if members[n + 1] ~= score or behind(id) then
      if left == 0 or looked == MEMBERS or bytes >= BYTES then
        is_end = false
        break
      end
      looked, score, last = looked + 1, members[n + 1], id
      local key = base .. 'persist:' .. id
      local head = live(now, key)
      if not head or sub(head, from, to) ~= value then
        dead[#dead + 1] = id
      elseif (status == '' or sub(head, 4, 4) == status) and (agent == '' or sub(head, 77, 92) == agent) then
        if skip > 0 then
          skip = skip - 1
        else
          local frame = call('GET', key)
          local hot = base .. 'hot:' .. id
          if ARGV[12] ~= '0' and call('PEXPIRE', hot, ARGV[12]) == 0 then call('SET', hot, frame, 'PX', ARGV[12]) end
          found[#found + 1], found[#found + 2] = id, frame
          left, bytes = left - 1, bytes + #frame
        end
      end
    end
  end
end
if #dead > 0 then redis.pcall('ZREM', index, unpack(dead)) end
if not is_end then found[1], found[2] = score, last end
found[3] = skip
return found
