"""The Lua scripts of the Redis stores. Every write is one script, so it is atomic.

The keys of a shard share the hash tag `{pipeline/topic/partition}`, so they are on one node:

    sr:{...}:epoch                 the highest epoch that claimed the shard or wrote to it
    sr:{...}:group                 the consumer group that owns the shard
    sr:{...}:window                a stream, one entry a chunk, with the id `<last offset + 1>-0` (an id cannot be 0-0)
    sr:{...}:checkpoint            a hash: offset, sealed, seal (which binds the offset to what is sealed)
    sr:{...}:checkpoint_previous   the one before
    sr:{...}:parts                 a hash: what checkpoints need, by digest (`stores.redis.parts`)
    sr:{...}:artifacts             a hash: sealed models by name (`stores.redis.artifacts`)
    sr:{...}:artifact_times        a sorted set: their names by the time they were kept
    sr:{...}:versions              a hash: what is known of each version (`stores.redis.versions`)
    sr:{...}:models                a hash: sealed models by name
    sr:{...}:job                   a hash that expires: a training that was asked for (`stores.redis.jobs`)
    sr:{...}:requests              it expires too: requests that wait (`stores.redis.requests`)
    sr:{...}:pause                 who paused the shard
    sr:{...}:resume                it expires: where a paused shard may go on
    sr:{...}:pause_tokens          it expires: who has paused and resumed it before

Rules of every writing script, in this order:
 1. With an epoch below the stored one it changes nothing and returns `stale`. An epoch above the stored one replaces it: if Redis was
    restarted without its last writes, or empty, the owner's first write restores its claim, and older epochs are still refused.
 2. Every other check that can refuse the write comes next.
 3. The first write is one that a Redis out of memory refuses (SET). Redis refuses the first write of a script only, never a later one.

Others can write to Redis, so no script takes what it finds for granted: a key of another type and a number that is none count as absent.
Lua compares numbers as doubles, so offsets may go up to 2**53; epochs from 2**52 on are nobody's, so that there is always a greater one.
Scripts return numbers as text, because Redis truncates the floats that a script returns.
"""

from __future__ import annotations

from typing import Final

__all__ = ["APPEND", "CLAIM", "CLEAR", "DELETE", "DROP_PARTS", "GUARD", "KEEP", "KEEP_PARTS", "LOAD", "SAVE", "SPAN", "TAIL"]

_READ: Final = """
local function whole(text)
    if type(text) ~= 'string' or #text > 16 or not string.match(text, '^%d+$') then return nil end
    local number = tonumber(text)
    return number <= 9007199254740991 and number or nil
end
local function read(...)
    local found = redis.pcall(...)
    if type(found) == 'table' and found.err then return false end
    return found
end
local EPOCH_MAX = 4503599627370496
local function epoch_of(key)
    local epoch = whole(read('GET', key)) or 0
    return epoch < EPOCH_MAX and epoch or 0
end
"""
GUARD: Final = (
    _READ
    + """
local stored_epoch = epoch_of(KEYS[1])
if tonumber(ARGV[1]) < stored_epoch or tonumber(ARGV[1]) >= EPOCH_MAX then
    return {'stale', string.format('%.0f', stored_epoch)}
end
"""
)

# The fields of an entry are always written in this order, so its values have fixed positions.
_ENTRY: Final = """
local NAMES = {'first_offset', 'last_offset', 'rows', 'rows_through', 'oldest_time_s', 'newest_time_s', 'chunk', 'seal'}
local FIRST, LAST, ROWS, ROWS_THROUGH, OLDEST, NEWEST = 2, 4, 6, 8, 10, 12
local function at(entry, place) return tonumber(entry[2][place]) end
local function end_of(command, from, to)
    local found = read(command, KEYS[2], from, to, 'COUNT', 1)
    return found and found[1]
end
local function finite(text)
    local digits = string.match(text, '^(-?[%d.]+)[eE][+-]?%d%d?%d?$') or text
    local number = (string.match(digits, '^-?%d+$') or string.match(digits, '^-?%d+%.%d+$')) and tonumber(text)
    return number and number > -math.huge and number < math.huge
end
local function sound(entry)
    local fields = entry[2]
    if type(fields) ~= 'table' or #fields ~= 16 then return false end
    for place, name in ipairs(NAMES) do if fields[place * 2 - 1] ~= name then return false end end
    for place = FIRST, ROWS_THROUGH, 2 do if not whole(fields[place]) then return false end end
    if not finite(fields[OLDEST]) or not finite(fields[NEWEST]) then return false end
    return entry[1] == string.format('%.0f-0', at(entry, LAST) + 1)
end
"""

CLAIM: Final = (
    _READ
    + """
local owner = read('GET', KEYS[2])
local named = type(owner) == 'string' and #owner <= 200 and string.match(owner, '^[%w._-]+$')
if ARGV[1] ~= '' and named and owner ~= ARGV[1] then return {'group', owner} end
local now = redis.call('TIME')
local now_ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local epoch = string.format('%.0f', math.max(epoch_of(KEYS[1]) + 1, now_ms))
redis.call('SET', KEYS[1], epoch)
if ARGV[1] ~= '' then redis.call('SET', KEYS[2], ARGV[1]) end
return {'ok', epoch}
"""
)
"""KEYS: epoch, group. ARGV: group or ''. An epoch is at least the server's clock in milliseconds, so epochs ascend even after the server
was flushed."""

APPEND: Final = (
    GUARD
    + _ENTRY
    + """
local id, first, last, rows, oldest, newest, chunk, seal = unpack(ARGV, 2, 9)
local rows_max, age_max_s, after = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local kind = redis.call('TYPE', KEYS[2]).ok
if kind ~= 'stream' and kind ~= 'none' then return {'damaged', kind} end
local tail = end_of('XREVRANGE', '+', '-')
if tail and not sound(tail) then return {'damaged', tail[1]} end
if after and (not tail or at(tail, LAST) < after) then return {'gap', tail and tail[2][LAST] or ''} end
if tail and tonumber(first) <= at(tail, LAST) then return {'overlap', tail[2][LAST]} end

redis.call('SET', KEYS[1], ARGV[1])
local rows_through = tonumber(rows) + (tail and at(tail, ROWS_THROUGH) or 0)
local added = redis.pcall('XADD', KEYS[2], id, 'first_offset', first, 'last_offset', last, 'rows', rows,
    'rows_through', string.format('%.0f', rows_through), 'oldest_time_s', oldest, 'newest_time_s', newest, 'chunk', chunk, 'seal', seal)
if added.err then
    if string.find(added.err, 'equal or smaller') then return {'damaged', id} end
    return added
end

local head = end_of('XRANGE', '-', '+')
while head and head[1] ~= id do
    if sound(head) then
        local enough_without = rows_through - at(head, ROWS_THROUGH) >= rows_max
        local old = age_max_s and at(head, NEWEST) < tonumber(newest) - age_max_s
        if not (enough_without or old) then break end
    end
    redis.call('XDEL', KEYS[2], head[1])
    head = end_of('XRANGE', '-', '+')
end
return {'ok', rows}
"""
)
"""KEYS: epoch, window. ARGV: epoch, entry id, first offset, last offset, rows, oldest and newest time, chunk, seal, rows_max, age_max_s
or '', after or ''.

`rows_through` counts the rows ever appended, so that two entries tell how many rows lie between them. If the chunk overlaps the
window, nothing is appended, and the window's last offset is returned. `damaged`: the newest entry is none of ours, or its place is
taken; nothing is appended.
"""

TAIL: Final = (
    _READ
    + """
local found = read('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
return found and found[1]
"""
)
"""KEYS: epoch, window. The newest entry."""

CLEAR: Final = (
    GUARD
    + """
local held = redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[1], ARGV[1])
return {'ok', tostring(held)}
"""
)
"""KEYS: epoch, window. ARGV: epoch. Deletes a window; whether there was one, as 1 or 0."""

SPAN: Final = (
    _READ
    + _ENTRY
    + """
local from, span = '-', nil
while true do
    local entries = read('XRANGE', KEYS[2], from, '+', 'COUNT', 16) or {}
    for _, entry in ipairs(entries) do
        if sound(entry) then
            if not span then span = {entry[2][FIRST], '', 0, entry[2][OLDEST], entry[2][NEWEST]} end
            span[2] = entry[2][LAST]
            span[3] = span[3] + at(entry, ROWS)
            if at(entry, OLDEST) < tonumber(span[4]) then span[4] = entry[2][OLDEST] end
            if at(entry, NEWEST) > tonumber(span[5]) then span[5] = entry[2][NEWEST] end
        end
        from = '(' .. entry[1]
    end
    if #entries == 0 then
        if span then span[3] = string.format('%.0f', math.min(span[3], 9007199254740991)) end
        return span
    end
end
"""
)
"""KEYS: epoch, window. Returns the first and last offset, rows, oldest and newest time; nothing if the window is empty."""

SAVE: Final = (
    GUARD
    + """
local found = read('HMGET', KEYS[2], 'offset', 'sealed', 'seal')
local stored = found and whole(found[1])
if stored and tonumber(ARGV[2]) < stored and not ARGV[5] then
    return {'lower', found[1], string.sub(found[2] or '', 1, 64), found[3] or ''}
end

redis.call('SET', KEYS[1], ARGV[1])
if not found then redis.call('DEL', KEYS[2]) end
if stored and stored ~= tonumber(ARGV[2]) then redis.call('RENAME', KEYS[2], KEYS[3]) end
redis.call('HSET', KEYS[2], 'offset', ARGV[2], 'sealed', ARGV[3], 'seal', ARGV[4])
return {'ok', ''}
"""
)
"""KEYS: epoch, checkpoint, checkpoint_previous. ARGV: epoch, offset, sealed, seal, and a fifth to save below a higher offset."""

LOAD: Final = (
    _READ
    + """
local found = {}
for place = 2, 3 do
    if redis.call('EXISTS', KEYS[place]) == 1 then table.insert(found, read('HGET', KEYS[place], 'sealed') or '') end
end
return found
"""
)
"""KEYS: epoch, checkpoint, checkpoint_previous. A key without a checkpoint in it gives an empty one, which is told as damaged.

A script, because a Redis out of memory refuses even reads between MULTI and EXEC."""

KEEP_PARTS: Final = (
    GUARD
    + """
redis.call('SET', KEYS[1], ARGV[1])
local kind = redis.call('TYPE', KEYS[2]).ok
if kind ~= 'hash' then redis.call('DEL', KEYS[2]) end
for at = 2, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1]) end
return {'ok', tostring(redis.call('HLEN', KEYS[2]))}
"""
)
"""KEYS: epoch, parts. ARGV: epoch, then digest and bytes of each part. How many parts there are now."""

DROP_PARTS: Final = (
    GUARD
    + """
if redis.call('TYPE', KEYS[2]).ok == 'hash' then
    for at = 2, #ARGV do redis.call('HDEL', KEYS[2], ARGV[at]) end
end
redis.call('SET', KEYS[1], ARGV[1])
return {'ok', ''}
"""
)
"""KEYS: epoch, parts. ARGV: epoch, then digests. It frees memory, so its first write is one that a full Redis allows."""

KEEP: Final = (
    GUARD
    + """
local name, sealed, bytes_max, age_max_ms = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
for place, wanted in ipairs({'hash', 'zset'}) do
    local kind = redis.call('TYPE', KEYS[place + 1]).ok
    if kind ~= wanted and kind ~= 'none' then return {'damaged', KEYS[place + 1]} end
end

redis.call('SET', KEYS[1], ARGV[1])
local now = redis.call('TIME')
local now_ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local newest = redis.call('ZREVRANGE', KEYS[3], 0, 0, 'WITHSCORES')
if newest[2] and tonumber(newest[2]) >= now_ms and tonumber(newest[2]) < 2^52 then now_ms = tonumber(newest[2]) + 1 end
redis.call('HSET', KEYS[2], name, sealed)
redis.call('ZADD', KEYS[3], string.format('%.0f', now_ms), name)

local total, artifacts, bytes = 0, 0, 0
local names = redis.call('ZRANGE', KEYS[3], 0, -1, 'WITHSCORES')
for at = 1, #names, 2 do total = total + redis.call('HSTRLEN', KEYS[2], names[at]) end
for at = 1, #names, 2 do
    local old = age_max_ms and tonumber(names[at + 1]) < now_ms - age_max_ms
    if names[at] ~= name and (old or total > bytes_max) then
        local size = redis.call('HSTRLEN', KEYS[2], names[at])
        redis.call('HDEL', KEYS[2], names[at])
        redis.call('ZREM', KEYS[3], names[at])
        total, artifacts, bytes = total - size, artifacts + 1, bytes + size
    end
end
return {'ok', string.format('%.0f', artifacts), string.format('%.0f', bytes)}
"""
)
"""KEYS: epoch, artifacts, artifact_times. ARGV: epoch, name, sealed, bytes_max, milliseconds of age_max or ''. How many artifacts and bytes
were dropped, oldest first. `damaged`: a key of another type; nothing is kept."""

DELETE: Final = (
    GUARD
    + """
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('SET', KEYS[1], ARGV[1])
return {'ok', ''}
"""
)
"""KEYS: epoch, checkpoint, checkpoint_previous. ARGV: epoch. It frees memory, so its first write is one that a full Redis allows."""
