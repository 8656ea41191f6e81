-- SPDX-License-Identifier: BSD-2-Clause

-- The Lua API: argument checks, and what a runtime object is.
--
-- This file is compiled into the nginx module, which runs it with three
-- arguments: `core`, the functions in C, ffi/stream.lua and ffi/respond.lua.
-- Ids in Lua are numbers that the C side checks, so an object that outlives
-- its runtime is harmless.

local core, streams, responds = ...

local type = type
local error = error
local pcall = pcall
local setmetatable = setmetatable
local rawequal = rawequal
local sub = string.sub
local format = string.format

local sleep = ngx.sleep
local submit = core.submit
local start = core.start
local take = core.take
local raised = core.raised


local _M = { _VERSION = core.version }

local mt = {}

-- where the id stands: no method name can reach it
local ID = 1


local function bad_arg(n, name, expected, value)
    local got = value == false and "false" or type(value)
    error(format("bad argument #%d to '%s' (%s expected, got %s)", n, name,
                 expected, got), 3)
end


-- what C functions that wait return first when they are done; nobody else has
-- it to resume them with
local DONE = {}


-- Raises again what was raised, by C for want of memory or by somebody's hook,
-- where this coroutine waits: it is not to be resumed by that any more.
local function raise(err)
    if raised() then
        pcall(sleep, 0)
    end

    error(err, 0)
end


-- what the call returns, once it was the answer, the deadline or the end that
-- has resumed this coroutine
local function await(task)
    local done, ok, res, err, why = start(task, DONE)

    while not rawequal(done, DONE) do
        done, ok, res, err, why = take(task, DONE)
    end

    return ok, res, err, why
end


local function answer(task)
    local well, ok, res, err, why = pcall(await, task)
    if not well then
        raise(ok)
    end

    if ok or err == nil then
        return ok, res
    end

    if why then
        return ok, res, err, why
    end

    return ok, res, err
end


local function call(self, name, req, opts)
    if type(self) ~= "table" or not rawequal(getmetatable(self), mt) then
        error(format("calling '%s' needs the runtime: use ':', not '.'",
                     name or "call"), 2)
    end

    if req ~= nil and type(req) ~= "string" then
        bad_arg(1, name or "call", "string or nil", req)
    end

    local timeout, trace

    if opts ~= nil then
        if type(opts) ~= "table" then
            bad_arg(2, name or "call", "table or nil", opts)
        end

        trace = opts.traceparent

        if trace ~= nil and type(trace) ~= "string" then
            error("opts.traceparent must be a string", 2)
        end

        timeout = opts.timeout

        if timeout ~= nil and (type(timeout) ~= "number" or timeout < 0) then
            error("opts.timeout must be a number of milliseconds, 0 for "
                  .. "none", 2)
        end
    end

    local task, err = submit(self[ID], req, name, timeout, trace)
    if not task then
        return false, err
    end

    return answer(task)
end


-- waits for a start; true, or nil and why it failed
local function wait_started(task)
    local ok, rc, text = answer(task)
    if ok then
        return true
    end

    return nil, type(rc) == "string" and rc
                or text or "the library could not start"
end


local reserved = {}


-- rt:__unload()
--
-- No new call is taken; those that wait are still answered; then the runtime
-- sees the end of its queue. Returns true, also the second time.
function reserved.__unload(self)
    core.unload(self[ID])
    return true
end


-- ok, err = rt:__reload()
--
-- Puts a fresh runtime with the same library, cfg and opts in the place of
-- this one, for every object that stands for it; the old one still finishes
-- its calls. Waits for the start as ngx.load_ffi does. Where that fails: nil
-- and why; the old one serves on.
function reserved.__reload(self)
    local id, reason, task = core.reload(self[ID])
    if id then
        return true
    end

    if not task then
        return nil, reason
    end

    return wait_started(task)
end


local function new_method(methods, name)
    if type(name) ~= "string" then
        return nil
    end

    if sub(name, 1, 2) == "__" then
        return reserved[name]
    end

    local function method(self, req, opts)
        return call(self, name, req, opts)
    end

    methods[name] = method

    return method
end


-- weak: names may come from a request, and must not stay for ever
mt.__index = setmetatable({}, { __mode = "v", __index = new_method })


function mt.__call(self, req, opts)
    return call(self, nil, req, opts)
end


mt.__metatable = nil


-- one object a runtime, in this VM; found again by lib and cfg without asking
-- for more than whether it is still there
local runtimes = setmetatable({}, { __mode = "v" })
local by_lib = {}


local NIL = {}


local function known(lib, cfg)
    local by_cfg = by_lib[lib]
    local rt = by_cfg and by_cfg[cfg or NIL]

    return rt and core.alive(rt[ID]) and rt
end


local function remember(lib, cfg, id)
    local rt = runtimes[id]
    if not rt then
        rt = setmetatable({ id }, mt)
        runtimes[id] = rt
    end

    local by_cfg = by_lib[lib]
    if not by_cfg then
        by_cfg = setmetatable({}, { __mode = "v" })
        by_lib[lib] = by_cfg
    end

    by_cfg[cfg or NIL] = rt

    return rt
end


local function between(least, most)
    return function(n) return n >= least and n <= most end
end


local function whole(least, most)
    return function(n) return n >= least and n <= most and n % 1 == 0 end
end


-- the opts of load_ffi: name, type (nil: any, as a flag), which values, and
-- that as text
local options = {
    { "max_queue", "number", whole(0, 1048575),
      "an integer from 1 to 1048575, 0 for the default" },
    { "max_request_bytes", "number", whole(1, 2147483647),
      "an integer from 1 to 2147483647" },
    { "max_response_bytes", "number", whole(1, 2147483647),
      "an integer from 1 to 2147483647" },
    { "is_global" },
    { "unpin" },
    { "timeout", "number", between(0, math.huge),
      "a number of milliseconds, 0 for none" },
    { "spin", "number", between(0, 1000000),
      "a number of microseconds, up to 1000000" },
    { "threads", "number", whole(1, 256), "an integer from 1 to 256" },
    { "switch_interval", "number",
      function(n) return n > 0 and n <= 10000 end,
      "above 0 and at most 10000 ms" },
}


-- the options that are known, in a table of their own; or nil and why not
local function check_options(opts)
    local checked = {}

    for i = 1, #options do
        local name, expected, good, what = unpack(options[i])
        local value = opts[name]

        if not expected then
            checked[name] = not not value

        elseif value ~= nil then
            if type(value) ~= expected then
                return nil, format("opts.%s must be %s, got %s", name, what,
                                   type(value))
            end

            if not good(value) then
                return nil, format("opts.%s must be %s", name, what)
            end

            checked[name] = value
        end
    end

    if checked.max_queue == 0 then
        checked.max_queue = nil
    end

    return checked
end


local function check_load(lib, cfg, opts)
    if type(lib) ~= "string" then
        return nil, "lib must be a string, got " .. type(lib)
    end

    if cfg ~= nil and type(cfg) ~= "string" then
        return nil, "cfg must be a string or nil, got " .. type(cfg)
    end

    if opts ~= nil and type(opts) ~= "table" then
        return nil, "opts must be a table or nil, got " .. type(opts)
    end

    return check_options(opts or {})
end


-- rt, err = ngx.load_ffi(lib, cfg, opts)
--
-- lib:  absolute path, file name, or short name ("ffi_python3").
-- cfg:  string or nil, for the library.
-- opts: max_queue (requests, 65536), max_request_bytes and
--       max_response_bytes (of one call, INT_MAX), is_global (false), unpin
--       (false), timeout (milliseconds, the directive ffi_timeout; 0 for
--       none), spin (microseconds a runtime's thread looks for the next
--       request before it sleeps, 0), threads (of a Python handler, what its
--       @serve says), switch_interval (milliseconds between Python threads,
--       for the whole process, 5).
--
-- Returns the runtime of these arguments in this worker, or nil and why
-- not. Waits for the start: the coroutine where it can yield, else the
-- worker.
local function load_ffi(lib, cfg, opts)
    local checked, err = check_load(lib, cfg, opts)
    if err then
        return nil, err
    end

    local rt = known(lib, cfg)
    if rt then
        return rt
    end

    while true do
        local id, reason, task = core.load(lib, cfg, checked)
        if id then
            return remember(lib, cfg, id)
        end

        if not task then
            return nil, reason
        end

        local ok, failed = wait_started(task)
        if not ok then
            return nil, failed
        end
    end
end


-- nil where it is none
local function id_of(rt)
    return type(rt) == "table" and rawequal(getmetatable(rt), mt) and rt[ID]
           or nil
end


_M.stream = streams(core, id_of, DONE, raise)
_M.respond = responds(id_of, _M.stream)
_M.load = load_ffi
_M.stats = core.stats
ngx.load_ffi = load_ffi

return _M
