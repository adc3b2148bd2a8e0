-- Writes the number ARGV[2] in the field ARGV[1] of a record unless it holds a higher one, and one that reads back;
-- answers what it then holds.
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored and #stored <= 16 and string.match(stored, '^%d+$') and tonumber(stored) >= tonumber(ARGV[2]) then return stored end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return ARGV[2]
