-- assay publish, version 1. Writes each symbol whose version is newer than the stored one, then the markers.
-- KEYS[1] the markers; KEYS[2..] one hash per symbol.
-- ARGV: number of markers, then (partition, offset) pairs; then per symbol: version, number of fields, (field, value) pairs.
-- Versions are decimal text: a Lua number holds only 53 bits.
local function newer(a, b)
  if not b then return true end
  if #a ~= #b then return #a > #b end
  return a > b
end

local markers = tonumber(ARGV[1])
local at = 2 + 2 * markers
for k = 2, #KEYS do
  local version, fields = ARGV[at], tonumber(ARGV[at + 1])
  if newer(version, redis.call('HGET', KEYS[k], 'version')) then
    redis.call('DEL', KEYS[k])
    redis.call('HSET', KEYS[k], 'version', version, unpack(ARGV, at + 2, at + 1 + 2 * fields))
  end
  at = at + 2 + 2 * fields
end
for m = 1, markers do
  local partition, offset = ARGV[2 * m], ARGV[2 * m + 1]
  if newer(offset, redis.call('HGET', KEYS[1], partition)) then
    redis.call('HSET', KEYS[1], partition, offset)
  end
end
return #KEYS - 1
