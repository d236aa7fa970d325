-- Takes from each of the limits KEYS, or from none. ARGV: limit, period in milliseconds and units of each.
-- Answers: the number of the first limit without room, or 0; when it will have room; then for each limit what remains of it
-- and when all of it will be there again. Times in milliseconds.

local at = now()
local used, there = {}, {}
local refused, wait = 0, 0

for i = 1, #KEYS do
  local limit, period, units = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  used[i], there[i] = used_of(KEYS[i], period, at)
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
  local limit, period, units = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  if refused == 0 then
    used[i] = used[i] + units * period
  end
  if refused == 0 or there[i] then
    keep(KEYS[i], there[i], used[i], at, limit, period)
  end
  local free = math.max(0, limit * period - used[i])
  answer[#answer + 1] = (free - math.fmod(free, period)) / period
  answer[#answer + 1] = limit > 0 and divide_up(used[i], limit) or 0
end
return answer
