-- Takes a token of a bucket that gains ARGV[1] a second and holds ARGV[2]. Answers the tokens left, as text; if there was
-- no whole one, what is missing as a negative number, and nothing is written.
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local tokens, at = burst, now
local stored = redis.call('GET', KEYS[1])
if stored then
    local count, since = string.match(stored, '^(%S+) (%S+)$')
    tokens, at = tonumber(count or '') or burst, tonumber(since or '') or now
end
tokens = math.min(burst, tokens + math.max(0, now - at) * rate)
local left = tokens - 1
if left >= 0 then
    local full_ms = math.ceil((burst - left) / rate * 1000) + 1000
    redis.call('SET', KEYS[1], string.format('%.6f %.6f', left, now), 'PX', string.format('%.0f', full_ms))
end
return string.format('%.6f', left)
