-- Raises a number to ARGV[1] if it is lower, or does not read back; the number.
local stored = redis.call('GET', KEYS[1])
if stored and #stored <= 16 and string.match(stored, '^%d+$') and tonumber(stored) >= tonumber(ARGV[1]) then return stored end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
