-- SPDX-License-Identifier: BSD-2-Clause

-- Steps, each of which may fail for want of memory, but not lie.

local ffi = require "ffi"
local stream = require("resty.ffi").stream

ffi.cdef [[
void faults_arm(int n);
int faults_failures(void);
int faults_disarm(void);
void resty_ffi_report(void *tq);
]]

local C = ffi.C
local _M = {}


-- { name, function, what it returns }: run until one fails
local function run(steps, state)
    for i = 1, #steps do
        local name, step, wanted, third = unpack(steps[i])
        local raised, ok, got, more = pcall(step, state)
        local said = name .. ": " .. tostring(ok) .. ", " .. tostring(got)
                     .. ", " .. tostring(more)

        if not raised then
            error(name .. " raised " .. tostring(ok))
        end

        if got ~= wanted or more ~= third then
            if ok or got == nil or got == 404 then
                error(said .. " instead of " .. tostring(wanted))
            end

            return said
        end
    end
end


-- Runs steps with the n-th allocation failing, and without; how many failed,
-- and what was told instead of the answer.
function _M.survive(n, steps)
    local state = {}

    C.faults_arm(n)
    local passed, said = pcall(run, steps, state)
    local failures = C.faults_disarm()

    if not passed then
        error("with allocation " .. n .. " failing: " .. said, 0)
    end

    if state.rt then
        state.rt:__unload()
    end

    local told = run(steps, {})
    if told then
        error("after allocation " .. n .. " has failed: " .. told, 0)
    end

    return failures, said or ""
end


function _M.load(...)
    local arguments = { ... }

    return { "load", function(state)
        local rt, err = ngx.load_ffi(unpack(arguments, 1, 3))
        state.rt = rt
        return rt ~= nil, err
    end }
end


-- rt[method](rt, req, opts), and what comes behind the status
function _M.call(method, req, wanted, third, opts)
    return { method, function(state)
        return state.rt[method](state.rt, req, opts)
    end, wanted, third }
end


-- rt:stream, of a request in parts: "a" and those
function _M.stream(method, parts, wanted)
    return { method, function(state)
        local s, err = stream(state.rt, method, "a", { input = true })
        if not s then
            return false, err
        end

        local chunks, ok, why = {}
        for i = 1, #parts do
            ok, why = s:write(parts[i])
            if not ok then
                return false, why
            end
        end

        ok, why = s:finish()
        if not ok then
            return false, why
        end

        for chunk in function() ok, why = s:read() return ok end do
            chunks[#chunks + 1] = chunk
        end
        return why == nil, why or table.concat(chunks)
    end, wanted }
end


-- what became of a pipe with the n-th allocation failing
local failures, said, size

function _M.pipe(s, n)
    failures, said, size = nil

    C.faults_arm(n)
    local bytes, err = s:pipe()
    failures, said, size = C.faults_disarm(), err, bytes
    if err and not ngx.headers_sent then
        ngx.exit(500)
    end
end


function _M.piped()
    for _ = 1, 2000 do
        if failures then
            break
        end
        ngx.sleep(0.005)
    end
    return failures, said, size
end


-- what on_delivered has still to tell, which it does soon
function _M.owed()
    return { "owed", function(state)
        local ok, res
        for _ = 1, 2000 do
            ok, res = state.rt:owed("x")
            if not ok or res == "0" then
                break
            end
            ngx.sleep(0.005)
        end
        return ok, res
    end, "0" }
end


local function in_log(text)
    local file = assert(io.open(ngx.config.prefix() .. "error.log"))
    local log = file:read("*a")
    file:close()
    return log:find(text, 1, true) ~= nil
end


-- what the threads of a runtime of evaluate.py do, as if it were stuck
function _M.report()
    local code = "import _resty_ffi; result = "
                 .. "f'return {tq}ULL, {_resty_ffi.pollers(tq)[0]}'"

    return { "report", function(state)
        local ok, res, err = state.rt:run(code)
        if not ok then
            return ok, res, err and "raised"
        end

        local tq, tid = loadstring(res)()
        ffi.load("ffi_python3").resty_ffi_report(ffi.cast("void *", tq))

        for _ = 1, 2000 do
            if in_log("thread " .. tid .. ' "') then
                return true, "reported"
            end
            if C.faults_failures() > 0 then
                break
            end
            ngx.sleep(0.005)
        end
        return false, "not reported"
    end, "reported" }
end


function _M.reload()
    return { "reload", function(state) return state.rt:__reload() end }
end


function _M.unload()
    return { "unload", function(state) return state.rt:__unload() end }
end


return _M
