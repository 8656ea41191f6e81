-- SPDX-License-Identifier: BSD-2-Clause

-- Runs the Lua code in a request's query, so that the whole response is its
-- own.

local streams = require "streams"

local _M = {}
local notes = {}
local env = setmetatable({ streams = streams, ffi = require "resty.ffi" },
                         { __index = _G })


-- for the test to take
function env.note(...)
    notes[#notes + 1] = { n = select("#", ...), ... }
end


-- what a pipe returns is noted, too
function env.pipe(method, req, opts)
    local s, err = env.ffi.stream(env.rt, method, req, opts)
    if not s then
        return env.note(nil, err)
    end
    env.note(s:pipe())
end


-- until another light thread pipes
function env.await_header()
    while not ngx.headers_sent do
        ngx.sleep(0.005)
    end
end


_M.note = env.note
_M.await_header = env.await_header


function _M.pipe(...)
    env.rt = streams.load()
    env.pipe(...)
end


function _M.run()
    env.rt = streams.load()
    local code = assert(loadstring(ngx.unescape_uri(ngx.var.args), "=test"))
    setfenv(code, env)()
end


-- waits for n of them
function _M.take(n)
    for _ = 1, 2000 do
        if #notes >= n then
            local taken = notes
            notes = {}
            return unpack(taken)
        end
        ngx.sleep(0.005)
    end
    error(#notes .. " notes, not " .. n)
end


return _M
