-- assay publish, version 1. Writes each symbol whose version is newer than the stored one, then the markers.
-- KEYS[1] the markers; KEYS[2..] one hash per symbol.
-- ARGV: number of markers, then (partition, offset, since) triples; then per symbol: version, number of fields,
-- (field, value) pairs. Versions and offsets are decimal text, because a Lua number holds only 53 bits.
-- A marker moves only from at least `since` on (empty: from anywhere): otherwise what lies before is missing.
-- Returns the partitions whose marker was too far behind.
local function newer(a, b)
  if not b then return true end
  if #a ~= #b then return #a > #b end
  return a > b
end

local markers = tonumber(ARGV[1])
local at = 2 + 3 * markers
for k = 2, #KEYS do
  local version, fields = ARGV[at], tonumber(ARGV[at + 1])
  if newer(version, redis.call('HGET', KEYS[k], 'version')) then
    redis.call('DEL', KEYS[k])
    redis.call('HSET', KEYS[k], 'version', version, unpack(ARGV, at + 2, at + 1 + 2 * fields))
  end
  at = at + 2 + 2 * fields
end

local behind = {}
for m = 0, markers - 1 do
  local partition, offset, since = ARGV[2 + 3 * m], ARGV[3 + 3 * m], ARGV[4 + 3 * m]
  local stored = redis.call('HGET', KEYS[1], partition)
  if since ~= '' and newer(since, stored) then
    behind[#behind + 1] = tonumber(partition)
  elseif newer(offset, stored) then
    redis.call('HSET', KEYS[1], partition, offset)
  end
end
return behind
