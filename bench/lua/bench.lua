-- SPDX-License-Identifier: BSD-2-Clause

-- What the locations of the benchmark's nginx.conf run: `get` answers with
-- the body that the path names, `echo` with the request's own body.  Only
-- how a body is asked for differs between the competitors; `pipe` has none in
-- Lua.

local bit = require "bit"

local ngx = ngx
local char = string.char
local rep = string.rep
local byte = string.byte
local band = bit.band
local rshift = bit.rshift

local _M = {}

local GET = 1
local ECHO = 2

-- ask(kind, request) returns a body, or nil and why not
local ask


local function send(body, err)
    if not body then
        ngx.status = 503
        body = tostring(err) .. "\n"
    end

    ngx.header.content_length = #body
    ngx.print(body)
end


function _M.get()
    send(ask(GET, ngx.var.uri))
end


-- piped(path) returns a stream
local piped


function _M.pipe()
    local path = ngx.var.uri
    local s, err = piped(path)
    if not s then
        return send(nil, err)
    end

    ngx.header.content_length = tonumber(path:sub(2))

    local bytes, reason = s:pipe()
    if not bytes and not ngx.headers_sent then
        send(nil, reason)
    end
end


function _M.echo()
    ngx.req.read_body()
    send(ask(ECHO, ngx.req.get_body_data()))
end


function _M.alone(sizes)
    local bodies = {}

    for _, size in ipairs(sizes) do
        bodies["/" .. size] = rep("x", size)
    end

    function ask(kind, request)
        if kind == GET then
            return bodies[request]
        end

        return request
    end
end


-- An option this build does not know would be ignored without a word.
local function unknown(lib, cfg, opts)
    for name in pairs(opts or {}) do
        if ngx.load_ffi(lib, cfg, { [name] = {} }) then
            return "there is no opts." .. name .. " in this build"
        end
    end
end


-- lib, get and echo: the arguments of load_ffi; also: a cfg loaded beside
function _M.ffi(args)
    local runtimes = {}
    local err = unknown(args.lib, args.get, args.opts)

    for kind, cfg in pairs { [GET] = args.get, [ECHO] = args.echo } do
        if not err then
            runtimes[kind], err = ngx.load_ffi(args.lib, cfg, args.opts)
        end
    end

    if args.also and not err then
        local _
        _, err = ngx.load_ffi(args.lib, args.also)
    end

    if err then
        function ask()
            return nil, err
        end
        return
    end

    function ask(kind, request)
        local ok, res, reason = runtimes[kind]:ask(request)

        if ok then
            return res
        end

        return nil, reason or res
    end
end


-- cfg: of ffi_python3
function _M.stream(cfg)
    local ffi = require "resty.ffi"
    local rt, err = ngx.load_ffi("ffi_python3", cfg)

    function piped(path)
        if not rt then
            return nil, err
        end

        return ffi.stream(rt, "ask", path)
    end
end


local function exchange(sock, kind, request)
    local n = #request
    local ok, err = sock:send({
        char(kind, rshift(n, 16), band(rshift(n, 8), 255), band(n, 255)),
        request,
    })
    if not ok then
        return nil, err
    end

    local head, reason = sock:receive(4)
    if not head then
        return nil, reason
    end

    local _, a, b, c = byte(head, 1, 4)
    return sock:receive(a * 65536 + b * 256 + c)
end


function _M.socket(address)
    function ask(kind, request)
        local sock = ngx.socket.tcp()
        local ok, err = sock:connect(address)
        if not ok then
            return nil, err
        end

        local body, reason = exchange(sock, kind, request)
        if not body then
            sock:close()
            return nil, reason
        end

        sock:setkeepalive()
        return body
    end
end


return _M
