-- Takes a tenant off the list unless it was registered anew. KEYS: the tenants. ARGV: tenant, score it had.
if call('ZSCORE', KEYS[1], ARGV[1]) == ARGV[2] then return call('ZREM', KEYS[1], ARGV[1]) end
return 0
