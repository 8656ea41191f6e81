-- SPDX-License-Identifier: BSD-2-Clause

-- wrk … -s wrk.lua URL -- [OPTION …]: ends with a line of JSON.
--
-- size=SIZE    posts a body of that size
-- json=TEXT    posts that
-- bodies=yes   counts, of each body that came, how often it did

local threads = {}


local options = {
    size = function(value)
        wrk.method = "POST"
        wrk.body = string.rep("x", tonumber(value))
    end,

    json = function(value)
        wrk.method = "POST"
        wrk.body = value
        wrk.headers["Content-Type"] = "application/json"
    end,

    bodies = function()
        bodies = {}

        function response(_, _, body)
            bodies[body] = (bodies[body] or 0) + 1
        end
    end,
}


function setup(thread)
    table.insert(threads, thread)
end


function init(args)
    for _, arg in ipairs(args) do
        local name, value = arg:match("^(%l+)=(.*)$")

        if name then
            options[name](value)
        end
    end
end


function done(summary, latency)
    local errors = summary.errors
    local counts = {}

    for _, thread in ipairs(threads) do
        for _, count in pairs(thread:get("bodies") or {}) do
            table.insert(counts, count)
        end
    end

    print(string.format(
        '{"requests": %d, "seconds": %.6f, "p50": %.1f, "p99": %.1f, '
        .. '"errors": %d, "bodies": [%s]}',
        summary.requests, summary.duration / 1e6,
        latency:percentile(50), latency:percentile(99),
        errors.connect + errors.read + errors.write + errors.status
        + errors.timeout, table.concat(counts, ", ")))
end
