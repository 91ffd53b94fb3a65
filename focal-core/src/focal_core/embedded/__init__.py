"""Real servers in a folder, shared by the processes that use them: what is the same for every backend's server.

A folder holds, besides what the server itself keeps there:

```
password        mode 0600
server.log      since the last start; server.log.old the one before
lock            held while the server is started or stopped
members, alive  held shared by every process that uses the server
watcher         held by the process that stops the server when its users were killed
```

Who uses the server is known from locks, which the kernel drops when a process dies, however it dies. A backend tells
how its server is found and started (``Engine``); nothing here knows which server it is. Remove a folder only when
nothing uses it: with the files goes what would stop the server.
"""
