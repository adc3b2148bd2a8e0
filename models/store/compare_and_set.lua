-- Writes ARGV[3] if the key holds ARGV[2] (ARGV[1] is "holds") or does not exist ("absent"); 1 if it wrote, else 0.
local stored = redis.call('GET', KEYS[1])
if (ARGV[1] == 'absent' and not stored) or (ARGV[1] == 'holds' and stored == ARGV[2]) then
    redis.call('SET', KEYS[1], ARGV[3])
    return 1
end
return 0
