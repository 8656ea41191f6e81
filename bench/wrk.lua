-- SPDX-License-Identifier: BSD-2-Clause

-- wrk … -s wrk.lua URL -- [SIZE]: posts a body of that size, where there is
-- one, and ends with a line of JSON.

function init(args)
    if args[1] then
        wrk.method = "POST"
        wrk.body = string.rep("x", tonumber(args[1]))
    end
end


function done(summary, latency)
    local errors = summary.errors

    print(string.format(
        '{"requests": %d, "seconds": %.6f, "p50": %.1f, "p99": %.1f, '
        .. '"errors": %d}',
        summary.requests, summary.duration / 1e6,
        latency:percentile(50), latency:percentile(99),
        errors.connect + errors.read + errors.write + errors.status
        + errors.timeout))
end
