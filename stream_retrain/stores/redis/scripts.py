"""The Lua scripts of the Redis stores. Every write is one script, so it is atomic.

The keys of a shard share the hash tag `{pipeline/topic/partition}`, so they are on one node:

    sr:{...}:epoch                 the highest epoch that claimed the shard or wrote to it
    sr:{...}:window                a stream, one entry a chunk, with the id `<last offset + 1>-0` (an id cannot be 0-0)
    sr:{...}:checkpoint            a hash: offset, sealed
    sr:{...}:checkpoint_previous   the one before
    sr:{...}:job                   a hash that expires: a training that was asked for (`stores.redis.jobs`)
    sr:{...}:requests              these expire too: requests that wait (`stores.redis.requests`)
    sr:{...}:request_number

Rules of every writing script, in this order:
 1. With an epoch below the stored one it changes nothing and returns `stale`. An epoch above the stored one replaces it: if Redis was
    restarted without its last writes, or empty, the owner's first write restores its claim, and older epochs are still refused.
 2. Every other check that can refuse the write comes next.
 3. The first write is one that a Redis out of memory refuses (SET). Redis refuses the first write of a script only, never a later one.

Lua compares numbers as doubles, so offsets may go up to 2**53. Scripts return numbers as text, because Redis truncates the floats that
a script returns.
"""

from __future__ import annotations

from typing import Final

__all__ = ["APPEND", "CLAIM", "DELETE", "GUARD", "LOAD", "SAVE", "SPAN"]

GUARD: Final = """
local stored_epoch = redis.call('GET', KEYS[1]) or '0'
if tonumber(ARGV[1]) < tonumber(stored_epoch) then return {'stale', stored_epoch} end
"""

# The fields of an entry are always written in this order, so its values have fixed positions.
_ENTRY: Final = """
local FIRST, LAST, ROWS, ROWS_THROUGH, OLDEST, NEWEST = 2, 4, 6, 8, 10, 12
local function at(entry, place) return tonumber(entry[2][place]) end
local function end_of(command, from, to) return redis.call(command, KEYS[2], from, to, 'COUNT', 1)[1] end
"""

CLAIM: Final = """
local now = redis.call('TIME')
local now_ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local epoch = math.max(tonumber(redis.call('GET', KEYS[1]) or '0') + 1, now_ms)
redis.call('SET', KEYS[1], string.format('%.0f', epoch))
return {'ok', string.format('%.0f', epoch)}
"""
"""KEYS: epoch. An epoch is at least the server's clock in milliseconds, so epochs ascend even after the server was flushed."""

APPEND: Final = (
    GUARD
    + _ENTRY
    + """
local id, first, last, rows, oldest, newest, chunk = unpack(ARGV, 2, 8)
local rows_max, age_max_s, after = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local tail = end_of('XREVRANGE', '+', '-')
if after and (not tail or at(tail, LAST) < after) then return {'gap', tail and tail[2][LAST] or ''} end
if tail and tonumber(first) <= at(tail, LAST) then return {'overlap', tail[2][LAST]} end

redis.call('SET', KEYS[1], ARGV[1])
local rows_through = tonumber(rows) + (tail and at(tail, ROWS_THROUGH) or 0)
redis.call('XADD', KEYS[2], id, 'first_offset', first, 'last_offset', last, 'rows', rows,
    'rows_through', string.format('%.0f', rows_through), 'oldest_time_s', oldest, 'newest_time_s', newest, 'chunk', chunk)

local head = end_of('XRANGE', '-', '+')
while head[1] ~= id do
    local enough_without = rows_through - at(head, ROWS_THROUGH) >= rows_max
    local old = age_max_s and at(head, NEWEST) < tonumber(newest) - age_max_s
    if not (enough_without or old) then break end
    redis.call('XDEL', KEYS[2], head[1])
    head = end_of('XRANGE', '-', '+')
end
return {'ok', rows}
"""
)
"""KEYS: epoch, window. ARGV: epoch, entry id, first offset, last offset, rows, oldest and newest time, chunk, rows_max, age_max_s or '',
after or ''.

`rows_through` counts the rows ever appended, so that two entries tell how many rows lie between them. If the chunk overlaps the
window, nothing is appended, and the window's last offset is returned.
"""

SPAN: Final = (
    _ENTRY
    + """
local from, span = '-', nil
while true do
    local entries = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', 16)
    for _, entry in ipairs(entries) do
        if not span then span = {entry[2][FIRST], '', 0, entry[2][OLDEST], entry[2][NEWEST]} end
        span[2] = entry[2][LAST]
        span[3] = span[3] + at(entry, ROWS)
        if at(entry, OLDEST) < tonumber(span[4]) then span[4] = entry[2][OLDEST] end
        if at(entry, NEWEST) > tonumber(span[5]) then span[5] = entry[2][NEWEST] end
        from = '(' .. entry[1]
    end
    if #entries == 0 then return span end
end
"""
)
"""KEYS: epoch, window. Returns the first and last offset, rows, oldest and newest time; nothing if the window is empty."""

SAVE: Final = (
    GUARD
    + """
local stored = redis.call('HGET', KEYS[2], 'offset')
if stored and tonumber(ARGV[2]) < tonumber(stored) then return {'lower', stored} end

redis.call('SET', KEYS[1], ARGV[1])
if stored and stored ~= ARGV[2] then redis.call('RENAME', KEYS[2], KEYS[3]) end
redis.call('HSET', KEYS[2], 'offset', ARGV[2], 'sealed', ARGV[3])
return {'ok', ''}
"""
)
"""KEYS: epoch, checkpoint, checkpoint_previous. ARGV: epoch, offset, sealed."""

LOAD: Final = """
return {redis.call('HGET', KEYS[2], 'sealed'), redis.call('HGET', KEYS[3], 'sealed')}
"""
"""KEYS: epoch, checkpoint, checkpoint_previous. A script, because a Redis out of memory refuses even reads between MULTI and EXEC."""

DELETE: Final = (
    GUARD
    + """
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('SET', KEYS[1], ARGV[1])
return {'ok', ''}
"""
)
"""KEYS: epoch, checkpoint, checkpoint_previous. ARGV: epoch. It frees memory, so its first write is one that a full Redis allows."""
