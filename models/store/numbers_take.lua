-- Takes ARGV[1] numbers of a counter that never goes back: the first is at least ARGV[2] and above all that were taken.
local last = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), tonumber(ARGV[2]) - 1)
redis.call('SET', KEYS[1], string.format('%.0f', last + tonumber(ARGV[1])))
return string.format('%.0f', last + 1)
