-- SPDX-License-Identifier: BSD-2-Clause

-- A whole HTTP response of one call: ffi.respond.
--
-- This file is compiled into the nginx module; ffi.lua runs it with one that
-- gives the id of a runtime, and ffi.stream. It uses what anybody can use.

local id_of, open = ...

local type = type
local error = error
local byte = string.byte
local find = string.find
local format = string.format
local gsub = string.gsub
local sub = string.sub
local io_open = io.open


-- what is said to a client, who is not to read what happens inside
local REASONS = {
    [400] = "Bad Request",
    [401] = "Unauthorized",
    [403] = "Forbidden",
    [404] = "Not Found",
    [405] = "Method Not Allowed",
    [409] = "Conflict",
    [410] = "Gone",
    [413] = "Request Entity Too Large",
    [415] = "Unsupported Media Type",
    [422] = "Unprocessable Content",
    [429] = "Too Many Requests",
    [500] = "Internal Server Error",
    [501] = "Not Implemented",
    [502] = "Bad Gateway",
    [503] = "Service Unavailable",
    [504] = "Gateway Timeout",
}


-- of calls that have not reached the runtime, or got no answer
local STATUS = {
    ["timeout"] = 504,
    ["request too large"] = 413,
    ["response too large"] = 502,
    ["post failed, queue full"] = 503,
    ["too many calls without an answer"] = 503,
    ["task queue is finished"] = 503,
    ["the runtime is stuck"] = 503,
    ["the runtime has ended"] = 503,
    ["shutting down"] = 503,
}


-- of pipes whose client takes no more
local GONE = {
    ["the client has gone"] = true,
    ["client timed out"] = true,
}


local ESCAPES = {
    ['"'] = '\\"',
    ["\\"] = "\\\\",
    ["\n"] = "\\n",
    ["\r"] = "\\r",
    ["\t"] = "\\t",
}


-- first bytes, how many more follow, and between which the second one is
local SEQUENCES = {
    { 0xc2, 0xdf, 1, 0x80, 0xbf },
    { 0xe0, 0xe0, 2, 0xa0, 0xbf },
    { 0xe1, 0xec, 2, 0x80, 0xbf },
    { 0xed, 0xed, 2, 0x80, 0x9f },
    { 0xee, 0xef, 2, 0x80, 0xbf },
    { 0xf0, 0xf0, 3, 0x90, 0xbf },
    { 0xf1, 0xf3, 3, 0x80, 0xbf },
    { 0xf4, 0xf4, 3, 0x80, 0x8f },
}


local function check_sequence(bytes)
    local first, second = byte(bytes, 1, 2)

    for i = 1, #SEQUENCES do
        local s = SEQUENCES[i]

        if first >= s[1] and first <= s[2] and #bytes == s[3] + 1
           and second >= s[4] and second <= s[5]
        then
            return bytes
        end
    end

    return "\239\191\189"
end


local function escape(char)
    return ESCAPES[char] or format("\\u%04x", byte(char))
end


-- text: any bytes; what is no UTF-8 becomes U+FFFD
local function json_string(text)
    text = gsub(text, "[\128-\255][\128-\191]*", check_sequence)

    return '"' .. gsub(text, '[%c"\\]', escape) .. '"'
end


-- told: nil where nothing is said but the status
local function json_error(status, told)
    local text = told or REASONS[status] or "HTTP " .. status

    return '{"error":' .. json_string(text) .. ',"status":' .. status .. "}"
end


-- status of the response, and what the client is told of it, or nil
local function http_error(what, text)
    if type(what) ~= "number" then
        return STATUS[what] or 500
    end

    if what >= 400 and what <= 599 then
        return what, text
    end

    return 500
end


-- What the runtime has chosen to tell the client is no fault.
local function log_failure(method, status, what, text)
    if status == what then
        return
    end

    ngx.log(GONE[what] and ngx.INFO or ngx.ERR, "ffi.respond: ",
            method or "the runtime", ": ", what, text and ": " or "",
            text or "")
end


local function send(status, kind, body)
    ngx.status = status

    if kind then
        ngx.header["Content-Type"] = kind
    end

    ngx.header["Content-Length"] = #body
    ngx.print(body)

    return ngx.exit(ngx.HTTP_OK)
end


local function fail(opts, method, what, text)
    local status, told = http_error(what, text)

    log_failure(method, status, what, text)

    if opts.json or opts.sse then
        return send(status, "application/json", json_error(status, told))
    end

    if told then
        return send(status, "text/plain", told)
    end

    -- nginx's own page, or that of error_page
    return ngx.exit(status)
end


-- nil where there is none; nil and why
local function read_body()
    ngx.req.read_body()

    local body = ngx.req.get_body_data()
    if body then
        return body
    end

    local path = ngx.req.get_body_file()
    if not path then
        return nil
    end

    local file, err = io_open(path, "rb")
    if not file then
        return nil, err
    end

    body, err = file:read("*a")
    file:close()

    return body, err
end


local function respond_whole(rt, method, req, opts)
    local call_opts = opts.timeout and { timeout = opts.timeout }
    local ok, res, text

    if method then
        ok, res, text = rt[method](rt, req, call_opts)
    else
        ok, res, text = rt(req, call_opts)
    end

    if not ok then
        return fail(opts, method, res, text)
    end

    if res == nil then
        return ngx.exit(ngx.HTTP_NO_CONTENT)
    end

    return send(ngx.HTTP_OK, opts.type or opts.json and "application/json",
                res)
end


local function open_stream(rt, method, req, opts)
    return open(rt, method, req, {
        first_timeout = opts.first_timeout,
        read_timeout = opts.read_timeout,
        timeout = opts.timeout,
    })
end


-- what s:read and s:pipe return: http_error's arguments
local function failure(err, status, text)
    if err == "failed" then
        return status, text
    end

    return err
end


local function respond_stream(rt, method, req, opts)
    local s, err = open_stream(rt, method, req, opts)
    if not s then
        return fail(opts, method, err)
    end

    if opts.type then
        ngx.header["Content-Type"] = opts.type
    end

    local bytes, failed, status, text = s:pipe()

    if bytes == nil then
        local what, detail = failure(failed, status, text)

        if not ngx.headers_sent then
            ngx.header["Content-Type"] = nil
            return fail(opts, method, what, detail)
        end

        log_failure(method, nil, what, detail)
    end

    return ngx.exit(ngx.HTTP_OK)
end


local function event(data)
    if find(data, "\r", 1, true) then
        data = gsub(data, "\r\n?", "\n")
    end

    if find(data, "\n", 1, true) then
        data = gsub(data, "\n", "\ndata: ")
    end

    return "data: " .. data .. "\n\n"
end


-- false where the client takes no more
local function send_event(text)
    return ngx.print(text) and ngx.flush(true)
end


local function respond_events(rt, method, req, opts)
    local s, err = open_stream(rt, method, req, opts)
    if not s then
        return fail(opts, method, err)
    end

    local chunk, failed, status, text = s:read()

    if failed then
        return fail(opts, method, failure(failed, status, text))
    end

    ngx.header["Content-Type"] = "text/event-stream"
    ngx.header["Cache-Control"] = "no-store"
    ngx.header["X-Accel-Buffering"] = "no"

    local takes = ngx.send_headers()

    while takes and chunk do
        takes = send_event(event(chunk))

        if takes then
            chunk, failed, status, text = s:read()
        end
    end

    s:close()

    if not takes then
        return ngx.exit(ngx.HTTP_OK)
    end

    if failed then
        local what, detail = failure(failed, status, text)
        local code, told = http_error(what, detail)

        log_failure(method, code, what, detail)
        send_event("event: error\n" .. event(json_error(code, told)))
    else
        send_event("event: end\n" .. event(""))
    end

    return ngx.exit(ngx.HTTP_OK)
end


local none = {}


-- ffi.respond(rt, method, opts)
--
-- Answers the request with what the runtime answers; does not return.
--
-- method: nil for what rt(req) calls.
-- opts: json (the answer is JSON, and so are errors), sse (each part is a
--       server-sent event), stream (parts are sent as they come), type (of
--       the content), request (a string, in the place of the body), timeout,
--       first_timeout, read_timeout (milliseconds; the last two of streams).
return function(rt, method, opts)
    if not id_of(rt) then
        error("bad argument #1 to 'respond' (runtime expected, got "
              .. type(rt) .. ")", 2)
    end

    if method ~= nil and type(method) ~= "string" then
        error("bad argument #2 to 'respond' (string or nil expected, got "
              .. type(method) .. ")", 2)
    end

    if method and sub(method, 1, 2) == "__" then
        error("names that begin with __ are reserved", 2)
    end

    if opts ~= nil and type(opts) ~= "table" then
        error("bad argument #3 to 'respond' (table or nil expected, got "
              .. type(opts) .. ")", 2)
    end

    opts = opts or none

    local req, err = opts.request

    if req == nil then
        req, err = read_body()
        if err then
            return fail(opts, method, err)
        end
    end

    if opts.sse then
        return respond_events(rt, method, req, opts)
    end

    if opts.stream then
        return respond_stream(rt, method, req, opts)
    end

    return respond_whole(rt, method, req, opts)
end
