-- SPDX-License-Identifier: BSD-2-Clause

-- What the locations of the streams' benchmark run.

local ffi = require "resty.ffi"

local ngx = ngx

local _M = {}

local APP = "bench.app.streams,"
-- neither ends by itself
local FOR_EVER = { first_timeout = 0, read_timeout = 0 }
local UPLOAD = { first_timeout = 0, read_timeout = 0, body = true }


local function load(name)
    return assert(ngx.load_ffi("ffi_python3", APP .. name))
end


local function pipe(name, method, request, opts)
    local s = assert(ffi.stream(load(name), method, request, opts))

    ngx.send_headers()

    local ok, err = s:pipe()
    if not ok then
        ngx.log(ngx.INFO, err)
    end
end


-- /N: the events of stream N
function _M.events()
    pipe("Ticks", "stream", ngx.var.uri, FOR_EVER)
end


-- /timers/METHOD?N
function _M.timers()
    local method = ngx.var.uri:match("[^/]+$")
    local rt = load("Ticks")
    local _, res, err = rt["timers_" .. method](rt, ngx.var.args)
    ngx.say(err or res or "")
end


-- /down/NAME?N: so many bytes
function _M.down()
    local size = ngx.var.args

    ngx.header.content_length = size
    pipe(ngx.var.uri:match("[^/]+$"), nil, size, FOR_EVER)
end


-- /up/NAME
function _M.up()
    pipe(ngx.var.uri:match("[^/]+$"), nil, nil, UPLOAD)
end


return _M
