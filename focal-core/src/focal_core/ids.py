"""Ids: UUIDv7, monotonic within a process.

RFC 9562, section 6.2, method 1: 48 bits of Unix milliseconds, then a 12-bit counter and 62 random bits.
"""

from __future__ import annotations

import os
import threading
import time
from uuid import UUID

NIL = UUID(int=0)
"""The tenant of records written without one by the runtime family."""

_lock = threading.Lock()
_last_ms = 0
_counter = 0


def uuid7() -> UUID:
    """Return a new UUIDv7, greater than every one this process has returned before."""
    global _last_ms, _counter
    with _lock:
        now_ms = time.time_ns() // 1_000_000
        if now_ms > _last_ms:
            _last_ms, _counter = now_ms, 0
        else:
            # The clock stands still or was set back: count on, and borrow a millisecond when the counter is full.
            _counter += 1
            if _counter > 0xFFF:
                _last_ms, _counter = _last_ms + 1, 0
        high = (_last_ms << 16) | 0x7000 | _counter
    low = int.from_bytes(os.urandom(8)) & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
    return UUID(int=(high << 64) | low)
