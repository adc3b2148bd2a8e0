-- Takes ARGV[1] numbers of a counter that never goes back: the first is at least ARGV[2] and above all that were taken.
-- A counter that does not read back counts as lost.
local stored = redis.call('GET', KEYS[1]) or '0'
local number = #stored <= 16 and string.match(stored, '^%d+$') and tonumber(stored) or 0
local last = math.max(number, tonumber(ARGV[2]) - 1)
redis.call('SET', KEYS[1], string.format('%.0f', last + tonumber(ARGV[1])))
return string.format('%.0f', last + 1)
