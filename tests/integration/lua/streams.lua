-- SPDX-License-Identifier: BSD-2-Clause

local ffi = require "ffi"

ffi.cdef [[
int streams_running(void);
int streams_gone(void);
int streams_refused(void);
int streams_faults(void);
long streams_sent(void);
long streams_released(void);
long streams_undelivered(void);
long streams_most(void);
]]

local C = ffi.load("streams")
local _M = {}


function _M.load(cfg, opts)
    return assert(ngx.load_ffi("streams", cfg, opts))
end


-- waits until streams_<name>() is at least n
function _M.wait(name, n)
    for _ = 1, 2000 do
        if C["streams_" .. name]() >= n then
            return
        end
        ngx.sleep(0.005)
    end
    error(name .. " is " .. tonumber(C["streams_" .. name]()) .. ", not "
          .. n, 2)
end


-- waits until no call runs
function _M.settle_running()
    for _ = 1, 4000 do
        if C.streams_running() == 0 then
            return
        end
        ngx.sleep(0.005)
    end
    error(C.streams_running() .. " run", 2)
end


-- waits until no call runs; all parts are released then, and nothing that
-- must not be has been
function _M.settle()
    for _ = 1, 4000 do
        if C.streams_running() == 0
           and C.streams_sent() == C.streams_released()
        then
            assert(C.streams_faults() == 0, "faults")
            return
        end
        ngx.sleep(0.005)
    end
    error(("%d run, %d parts sent, %d released"):format(
              C.streams_running(), tonumber(C.streams_sent()),
              tonumber(C.streams_released())), 2)
end


-- part i of the method send, and all of them
function _M.part(i, size)
    return string.char(97 + (i - 1) % 26):rep(size)
end


function _M.parts(n, size)
    local all = {}
    for i = 1, n do
        all[i] = _M.part(i, size)
    end
    return table.concat(all)
end


return setmetatable(_M, { __index = function(_, name)
    local count = C["streams_" .. name]
    return function() return tonumber(count()) end
end })
