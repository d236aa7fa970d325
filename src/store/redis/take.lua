-- Takes from each of the limits KEYS, or from none. ARGV: limit, period in milliseconds and units of each, and the units that were
-- used before and are not counted yet.
-- Answers: the number of the first limit without room, or 0; when it will have room; then for each limit what remains of it
-- and when all of it will be there again. Times in milliseconds.

local function numbers_of(i)
  return tonumber(ARGV[4 * i - 3]), tonumber(ARGV[4 * i - 2]), tonumber(ARGV[4 * i - 1]), tonumber(ARGV[4 * i])
end

local at = now()
local used, there = {}, {}
local refused, wait = 0, 0

for i = 1, #KEYS do
  local limit, period, units, owed = numbers_of(i)
  used[i], there[i] = used_of(KEYS[i], period, at)
  used[i] = math.min(used[i] + owed * period, MOST)
  if refused == 0 then
    local missing = used[i] + units * period - limit * period
    if units > limit then
      refused, wait = i, period
    elseif missing > 0 then
      refused, wait = i, divide_up(missing, limit)
    end
  end
end

local answer = { refused, wait }
for i = 1, #KEYS do
  local limit, period, units = numbers_of(i)
  if refused == 0 then
    used[i] = used[i] + units * period
  end
  keep(KEYS[i], there[i], used[i], at, limit, period)
  local free = math.max(0, limit * period - used[i])
  answer[#answer + 1] = (free - math.fmod(free, period)) / period
  answer[#answer + 1] = limit > 0 and divide_up(used[i], limit) or 0
end
return answer
