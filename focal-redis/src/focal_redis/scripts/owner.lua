-- Notes that a tenant may have a session. KEYS: the owners of its id. ARGV: tenant, ms the session may live.
call('SADD', KEYS[1], ARGV[1])
if call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
