-- SPDX-License-Identifier: BSD-2-Clause

-- Lua code that raises wherever it can, and what has to be well after that.

local ffi = require "ffi"
local semaphore = require "ngx.semaphore"
local stream = require("resty.ffi").stream
local stray = require "stray"
local streams = require "streams"

local _M = {}

local arm = package.loadlib("libfaults.so", "faults_lua")


-- Code that is bound to n instructions: f raises at the n-th. Whether it did,
-- and what pcall of f returns.
function _M.by_hook(n, f)
    local raised, ok, err = false
    local thread = coroutine.running()

    pcall(function()
        debug.sethook(function()
            if coroutine.running() == thread then
                debug.sethook()
                raised = true
                error("thrown", 0)
            end
        end, "", n)

        ok, err = pcall(f)
        debug.sethook()
    end)

    return raised, ok, err
end


-- The n-th allocation of LuaJIT fails.
function _M.by_memory(n, f)
    arm(n)
    local ok, err = pcall(f)
    return arm(0) > 0, ok, err
end


-- raises where this coroutine is resumed by something else than it waits for
function _M.rest()
    local sema = semaphore.new()
    local done = false

    ngx.thread.spawn(function()
        ngx.sleep(0.005)
        done = true
        sema:post()
    end)

    local ok, err = sema:wait(10)
    assert(ok and done, err or "resumed by what it waits for no more")
end


-- until f does not raise; how often it did
local function each(raise, f, before)
    for n = 1, 10000 do
        local raised, ok, err

        local thread = ngx.thread.spawn(function()
            if before then
                before()
            end
            raised, ok, err = raise(n, f)
            while stray.left() > 0 do
                ngx.sleep(0.001)
            end
            _M.rest()
        end)
        assert(ngx.thread.wait(thread))

        if not raised then
            assert(ok, err)
            return n - 1
        end
    end
    error("raises for ever")
end


-- before: runs before f each time, and does not raise
function _M.each_instruction(f, before)
    return each(_M.by_hook, f, before)
end


function _M.each_allocation(f, before)
    return each(_M.by_memory, f, before)
end


-- of a pipe; the last one's
local piped = {}

function _M.pipe(by, n)
    local rt = streams.load()

    piped = {}
    local raised = _M[by](n, function()
        local s = assert(stream(rt, "send", "parts=3 size=4 sleep=1"))
        assert(s:pipe())
    end)
    piped = { raised, pcall(_M.rest) }
end


function _M.piped()
    for _ = 1, 2000 do
        if piped[2] ~= nil then
            break
        end
        ngx.sleep(0.005)
    end
    return unpack(piped, 1, 3)
end


return _M
