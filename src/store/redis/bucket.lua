-- A bucket of rate limits, as its key keeps it: "used at limit period". The unit of `used` is one unit of the quota times one
-- millisecond, so that both a unit (`period` of them) and the refill of a millisecond (`limit` of them) are whole numbers.
-- All numbers are whole and below 2^53: then doubles are exact.

local MOST = 9007199254740991

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function divide_up(a, b)
  local rest = math.fmod(a, b)
  return (a - rest) / b + (rest > 0 and 1 or 0)
end

-- How much of the bucket is used now, under the quota that holds now.
local function used_of(key, period, at)
  local kept = redis.call('GET', key)
  if not kept then
    return 0, false
  end
  local used, since, old_limit, old_period = string.match(kept, '^(%d+) (%d+) (%d+) (%d+)$')
  if not used then
    return 0, true
  end
  used, since, old_limit, old_period = tonumber(used), tonumber(since), tonumber(old_limit), tonumber(old_period)
  local elapsed = math.max(0, at - since)
  if old_limit > 0 then
    if elapsed >= divide_up(used, old_limit) then
      used = 0
    else
      used = used - elapsed * old_limit
    end
  end
  if old_period ~= period then
    used = math.min(math.floor(used / old_period * period), MOST)
  end
  return used, true
end

local function keep(key, there, used, at, limit, period)
  if used > 0 then
    local full = limit > 0 and divide_up(used, limit) or period
    local text = string.format('%.0f %.0f %.0f %.0f', used, at, limit, period)
    redis.call('SET', key, text, 'PX', string.format('%.0f', math.min(full + 1000, 4e15)))
  elseif there then
    redis.call('DEL', key)
  end
end
