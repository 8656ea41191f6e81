-- SPDX-License-Identifier: BSD-2-Clause

-- Answers and requests in parts: ffi.stream, and what a stream is.
--
-- This file is compiled into the nginx module; ffi.lua runs it with `core`,
-- the functions in C, one that gives the id of a runtime, and what it says of
-- waits. A stream is a userdata that C makes, and that closes itself when it
-- is forgotten.

local core, id_of, DONE, raise = ...

local type = type
local error = error
local pcall = pcall
local rawequal = rawequal
local sub = string.sub
local format = string.format

local open = core.stream_open
local read = core.stream_read
local write = core.stream_write
local finish = core.stream_finish
local pipe = core.stream_pipe
local close = core.stream_close
local body_arrives = core.body_arrives


local stream = core.stream_methods()


local function go_on(f, self, arg, done, ...)
    if rawequal(done, DONE) then
        return ...
    end

    return go_on(f, self, arg, f(self, true, arg, DONE))
end


local function begin(f, self, arg)
    return go_on(f, self, arg, f(self, false, arg, DONE))
end


local function result(well, ...)
    if well then
        return ...
    end

    raise((...))
end


-- What f returns when it is done. Until then it waits, and is called again
-- whenever this coroutine is resumed.
local function wait_for(f, self, arg)
    return result(pcall(begin, f, self, arg))
end


-- chunk, or nil at the end; or nil, err, status, text, why
--
-- err is "failed" where the runtime has answered with a status that is not 0;
-- why is "no method" where it has none of that name.
function stream.read(self)
    return wait_for(read, self, false)
end


-- waits for a part, or the end, and leaves it; else what read returns
local function peek(self)
    return wait_for(read, self, true)
end


-- Sends the header, if it has not been sent. An empty print tells what no
-- more can be printed to.
local function send_header()
    local ok, err = ngx.send_headers()
    if ok then
        ok, err = ngx.print("")
    end

    return ok or err == "header only", err
end


-- bytes; or nil, err, status, text, why
--
-- Sends all that comes to the client. What goes wrong before the first part
-- leaves the response to the caller; later it leaves it unfinished.
function stream.pipe(self)
    local found, err, status, text, why = peek(self)

    if not found then
        if err == nil then
            return 0
        end

        if status == nil then
            return nil, err
        end

        if why == nil then
            return nil, err, status, text
        end

        return nil, err, status, text, why
    end

    local _, ok
    _, ok, err = pipe(self, false, true, DONE)

    if ok then
        ok, err = send_header()
    end

    if not ok then
        return nil, err
    end

    return wait_for(pipe, self, false)
end


-- true, or nil and err. Waits while the runtime has too much to read.
function stream.write(self, chunk)
    if type(chunk) ~= "string" then
        error("bad argument #1 to 'write' (string expected, got "
              .. type(chunk) .. ")", 2)
    end

    local ok, err = wait_for(write, self, chunk)

    return ok, err
end


-- The request is complete. true, or nil and err.
function stream.finish(self)
    return finish(self)
end


-- Nothing more is wanted; the runtime hears of it. true, also the second
-- time.
function stream.close(self)
    return close(self)
end


-- nginx reads on into what these replace, and over HTTP/2 would crash
local function guard(name)
    local set = ngx.req[name]

    ngx.req[name] = function(...)
        if body_arrives() then
            error("the request body is on its way to a stream", 2)
        end

        return set(...)
    end
end


guard("set_body_data")
guard("set_body_file")
guard("init_body")


local function bad_arg(n, expected, value)
    error(format("bad argument #%d to 'stream' (%s expected, got %s)", n,
                 expected, type(value)), 3)
end


local function check_time(opts, name)
    local ms = opts[name]

    if ms ~= nil and (type(ms) ~= "number" or not (ms >= 0)) then
        error(format("opts.%s must be a number of milliseconds, 0 for none",
                     name), 3)
    end

    return ms
end


local none = {}


-- s, err = ffi.stream(rt, method, req, opts)
--
-- method: nil for what rt(req) calls.
-- opts: first_timeout (milliseconds until the first part or the end; what a
--       call's timeout would be), read_timeout (between parts; the same),
--       timeout (for all; none), input (the request goes on by s:write and
--       s:finish), body (it goes on with the client's request body),
--       traceparent (in the place of the request's own).
return function(rt, method, req, opts)
    local id = id_of(rt)
    if not id then
        bad_arg(1, "runtime", rt)
    end

    if method ~= nil and type(method) ~= "string" then
        bad_arg(2, "string or nil", method)
    end

    if method and sub(method, 1, 2) == "__" then
        error("names that begin with __ are reserved", 2)
    end

    if req ~= nil and type(req) ~= "string" then
        bad_arg(3, "string or nil", req)
    end

    if opts ~= nil and type(opts) ~= "table" then
        bad_arg(4, "table or nil", opts)
    end

    opts = opts or none

    local first = check_time(opts, "first_timeout")
    local gap = check_time(opts, "read_timeout")
    local all = check_time(opts, "timeout")
    local input = not not opts.input
    local body = not not opts.body
    local trace = opts.traceparent

    if trace ~= nil and type(trace) ~= "string" then
        error("opts.traceparent must be a string", 2)
    end

    if input and body then
        error("opts.input and opts.body exclude each other", 2)
    end

    return open(id, req, method, first, gap, all, input or body, input,
                trace)
end
