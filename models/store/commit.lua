-- Applies a models.store.transaction.Commit; 1 if its guards held, else 0.
-- KEYS: of guards, writes, deletes, appends. ARGV: the number of guards, writes and deletes; by guard its prefix ('': the
-- key must not exist); by write its value and milliseconds to live ('': never expires); by append its entry.
local guards, writes, deletes = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
for i = 1, guards do
    local prefix = ARGV[3 + i]
    if prefix == '' then
        if redis.call('EXISTS', KEYS[i]) == 1 then return 0 end
    elseif redis.call('GETRANGE', KEYS[i], 0, #prefix - 1) ~= prefix then
        return 0
    end
end
local at = 3 + guards
for i = 1, writes do
    local value, ttl_ms = ARGV[at + 2 * i - 1], ARGV[at + 2 * i]
    if ttl_ms == '' then
        redis.call('SET', KEYS[guards + i], value)
    else
        redis.call('SET', KEYS[guards + i], value, 'PX', ttl_ms)
    end
end
at = at + 2 * writes
for i = guards + writes + 1, guards + writes + deletes do
    redis.call('UNLINK', KEYS[i])
end
for i = guards + writes + deletes + 1, #KEYS do
    at = at + 1
    redis.call('XADD', KEYS[i], '*', 'e', ARGV[at])
end
return 1
