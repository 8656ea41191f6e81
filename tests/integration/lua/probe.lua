-- SPDX-License-Identifier: BSD-2-Clause

local ffi = require "ffi"

ffi.cdef [[
int probe_received(void);
int probe_held(void);
int probe_release(void);
int probe_nulls(void);
int probe_threads(void);
int probe_inits(void);
int probe_gated(void);
int probe_reports(void);
int probe_abandoned(void);
void probe_open_gate(void);
void probe_fail_next(void);
void probe_revive(void);
int probe_answer_stale(void);
]]

local C = ffi.load("probe")
local _M = {}


function _M.load(cfg, opts)
    return assert(ngx.load_ffi("probe", cfg, opts))
end


-- waits until probe_<name>() is n; threads of earlier tests may end as well
function _M.wait(name, n)
    for _ = 1, 1000 do
        local now = C["probe_" .. name]()
        if now == n or name == "threads" and now < n then
            return
        end
        ngx.sleep(0.01)
    end
    error(name .. " is " .. C["probe_" .. name]() .. ", not " .. n, 2)
end


-- n calls that the runtime has taken, and whose callers have given up
function _M.abandon(rt, n)
    for i = 1, 1000 do
        if C.probe_held() >= n then
            return
        end
        local ok, err = rt:call("hold " .. i, { timeout = 5 })
        assert(ok == false, err)
        if err == "post failed, queue full" then
            -- of those whose deadline was before the thread's turn
            ngx.sleep(0.005)
        else
            assert(err == "timeout", err)
        end
    end
    error("the runtime takes no calls", 2)
end


return setmetatable(_M, { __index = function(_, name)
    return C["probe_" .. name]
end })
