-- Keeps each value for ARGV[1] milliseconds, unless its key has a newer version. Behind the time stand version and value of each key.
for i, key in ipairs(KEYS) do
  local version, value = ARGV[2 * i], ARGV[2 * i + 1]
  local kept = tonumber(redis.call('HGET', key, 'version'))
  if not kept or kept <= tonumber(version) then
    redis.call('HSET', key, 'version', version, 'value', value)
    redis.call('PEXPIRE', key, ARGV[1])
  end
end
return #KEYS
