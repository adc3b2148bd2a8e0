-- Appends entries (ARGV from the 3rd on) to the stream KEYS[1] as long as it has less than ARGV[1]; the stream then
-- expires ARGV[2] milliseconds from now. How many were appended.
local room, offered = tonumber(ARGV[1]) - redis.call('XLEN', KEYS[1]), #ARGV - 2
local taken = math.max(0, math.min(room, offered))
for i = 3, taken + 2 do redis.call('XADD', KEYS[1], '*', 'e', ARGV[i]) end
if taken > 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return taken
