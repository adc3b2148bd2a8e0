-- Appends an entry to the stream KEYS[2], chained to the one before by the head KEYS[1]: a number that rises by one and
-- ARGV[1], which no other entry has. ARGV[2] is a JSON object; it gets the fields "epoch" and "after", its own head and the
-- one before. The new head.
local before = redis.call('GET', KEYS[1]) or ''
local head = string.format('%020.0f', tonumber(string.sub(before, 1, 20)) and tonumber(string.sub(before, 1, 20)) + 1 or 1)
head = head .. ':' .. ARGV[1]
redis.call('SET', KEYS[1], head)
redis.call('XADD', KEYS[2], '*', 'e', '{"epoch":"' .. head .. '","after":"' .. before .. '",' .. string.sub(ARGV[2], 2))
return head
