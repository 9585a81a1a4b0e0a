-- Sends the bodies in the file $BODIES, one per line, in turn. The pause between two requests of a connection is random, exponential
-- with mean $PAUSE_MS, so that requests arrive like those of many users.
local pause_ms = tonumber(os.getenv("PAUSE_MS"))
local bodies = {}
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end
local headers = { ["Content-Type"] = "application/json" }
local next_body = 0

function init() math.randomseed(7) end

function request()
  next_body = next_body % #bodies + 1
  return wrk.format("POST", "/v1/predict", headers, bodies[next_body])
end

if pause_ms > 0 then
  function delay() return math.floor(0.5 - pause_ms * math.log(1 - math.random())) end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"seconds": %.3f, "requests": %d, "p50_ms": %.3f, "p99_ms": %.3f, "max_ms": %.3f, "not_200": %d, "broken": %d}\n',
    summary.duration / 1e6, summary.requests, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency.max / 1e3, errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
