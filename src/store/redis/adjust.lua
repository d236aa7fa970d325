-- Corrects what is used of the limit KEYS[1]. ARGV: limit, period in milliseconds, and how many units more or, negative, fewer.

local limit, period, delta = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local at = now()
local used, there = used_of(KEYS[1], period, at)
used = math.max(0, math.min(used + delta * period, MOST))
keep(KEYS[1], there, used, at, limit, period)
return 0
