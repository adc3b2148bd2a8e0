-- The first ARGV[2] bytes of a value, and those from ARGV[1] on.
return {redis.call('GETRANGE', KEYS[1], 0, ARGV[2] - 1), redis.call('GETRANGE', KEYS[1], ARGV[1], -1)}
