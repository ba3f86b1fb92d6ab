-- What wrk sends, by mode, and its summary as one line of JSON.
--   wrk ... -s wrk.lua URL -- static
--   wrk ... -s wrk.lua URL -- random PREFIX COUNT   names PREFIX1 .. PREFIXCOUNT, at random
--   wrk ... -s wrk.lua URL -- unique PREFIX         names PREFIX1, PREFIX2, ... each once
-- In the last two the name is appended to the URL. Works with one wrk thread: a second one would
-- have a Lua state, and a counter, of its own.

function init(args)
  local mode, prefix, count = args[1], args[2], tonumber(args[3])
  local path = wrk.path
  if mode == "random" then
    local requests = {}
    for i = 1, count do
      requests[i] = wrk.format("GET", path .. prefix .. i)
    end
    math.randomseed(os.time())
    request = function() return requests[math.random(count)] end
  elseif mode == "unique" then
    -- wrk.format costs more than a small server's answer; two concatenations do not.
    local head, tail = wrk.format("GET", path .. "@"):match("^(.-)@(.*)$")
    head = head .. prefix
    local i = -1  -- before it starts, wrk asks for one request that it does not send
    request = function()
      i = i + 1
      return head .. i .. tail
    end
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  print(string.format(
    'WRK {"requests":%d,"seconds":%f,"p50_us":%d,"p99_us":%d,' ..
    '"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
