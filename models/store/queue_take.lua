-- The members due at ARGV[1], at most ARGV[3], earliest first; each is due again at ARGV[2]. Then, of what room is left,
-- those due later than ARGV[4].
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, member in ipairs(due) do
    redis.call('ZADD', KEYS[1], 'XX', ARGV[2], member)
end
-- These were queued or leased by a clock that was ahead, or was set back since.
local left = tonumber(ARGV[3]) - #due
if left > 0 then
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[4], '+inf', 'LIMIT', 0, left)) do
        redis.call('ZADD', KEYS[1], 'XX', ARGV[2], member)
        due[#due + 1] = member
    end
end
return due
