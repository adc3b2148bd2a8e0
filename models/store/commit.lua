-- Applies models.store.transaction.Commit, one after the other; answers the models.store.transaction.Outcome of each.
-- KEYS: those of each commit, in the order below. ARGV: by commit the ten numbers of its guards, fences, identities,
-- extends, replaces, writes, deletes, adds, removes and appends, then their arguments: a guard's prefix ('': the key must not
-- exist) and length ('': any); a fence's number; an identity's number of keys, field and member; an extend's data, start, limit (0: none) and
-- 1 if recent data stay; how much a replace replaces, and its value; a write's value and milliseconds to live ('': never
-- expires); a delete has none; a member to add or
-- to remove; an entry to append.
local CONFLICT, APPLIED, REPEATED, FULL, RECENT = 0, 1, 2, 3, 65536
local k, a, outcomes = 0, 0, {}

local function key() k = k + 1; return KEYS[k] end
local function arg() a = a + 1; return ARGV[a] end

local function holds(record, field, member)
    local row = redis.call('HGET', record, field)
    if not row then return false end
    local at = string.find(row, member, 1, true)
    while at do
        if (at - 1) % #member == 0 then return true end
        at = string.find(row, member, at + 1, true)
    end
    return false
end

while a < #ARGV do
    local counts = {}
    for i = 1, 10 do counts[i] = tonumber(arg()) end
    local guards, fences, onces, extends, replaces = counts[1], counts[2], counts[3], counts[4], counts[5]
    local writes, deletes, adds, removes, appends = counts[6], counts[7], counts[8], counts[9], counts[10]
    local outcome, identities, extensions = APPLIED, {}, {}
    for _ = 1, guards do
        local name, prefix, length = key(), arg(), arg()
        if length ~= '' and redis.call('STRLEN', name) ~= tonumber(length) then outcome = CONFLICT end
        if prefix == '' then
            if redis.call('EXISTS', name) == 1 then outcome = CONFLICT end
        elseif redis.call('GETRANGE', name, 0, #prefix - 1) ~= prefix then
            outcome = CONFLICT
        end
    end
    for _ = 1, fences do
        local stored = redis.call('GET', key())
        local cut = stored and #stored <= 16 and tonumber(stored) or -1  -- one that does not read back counts as none
        if tonumber(arg()) <= cut then outcome = CONFLICT end
    end
    for i = 1, onces do
        local names, first = tonumber(arg()), nil
        local field, member = arg(), arg()
        for j = 1, names do
            local name = key()
            if j == 1 then first = name end
            if outcome == APPLIED and holds(name, field, member) then outcome = REPEATED end
        end
        identities[i] = {first, field, member}
    end
    for i = 1, extends do
        local name, data, start, most, recent = key(), arg(), arg(), tonumber(arg()), arg()
        local length = redis.call('STRLEN', name)
        local known = recent == '1' and string.find(redis.call('GETRANGE', name, -RECENT, -1), data, 1, true)
        if outcome == APPLIED and not known and most > 0 and length + #data > most then outcome = FULL end
        extensions[i] = {name, data, start, length, known}
    end
    local applies = outcome == APPLIED
    if applies then
        for _, one in ipairs(identities) do
            local row = redis.call('HGET', one[1], one[2]) or ''
            redis.call('HSET', one[1], one[2], row .. one[3])
        end
        for _, one in ipairs(extensions) do
            if one[4] == 0 then
                redis.call('APPEND', one[1], one[3] .. one[2])
            elseif not one[5] then
                redis.call('APPEND', one[1], one[2])
            end
        end
    end
    for _ = 1, replaces do
        local name, upto, value = key(), tonumber(arg()), arg()
        if applies then
            redis.call('SET', name, value .. redis.call('GETRANGE', name, upto, -1))
        end
    end
    for _ = 1, writes do
        local name, value, ttl_ms = key(), arg(), arg()
        if applies then
            if ttl_ms == '' then
                redis.call('SET', name, value)
            else
                redis.call('SET', name, value, 'PX', ttl_ms)
            end
        end
    end
    for _ = 1, deletes do
        local name = key()
        if applies then redis.call('UNLINK', name) end
    end
    for _ = 1, adds do
        local name, member = key(), arg()
        if applies then redis.call('SADD', name, member) end
    end
    for _ = 1, removes do
        local name, member = key(), arg()
        if applies then redis.call('SREM', name, member) end
    end
    for _ = 1, appends do
        local name, entry = key(), arg()
        if applies then redis.call('XADD', name, '*', 'e', entry) end
    end
    outcomes[#outcomes + 1] = outcome
end
return outcomes
