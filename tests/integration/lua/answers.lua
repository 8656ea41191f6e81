-- SPDX-License-Identifier: BSD-2-Clause

-- Locations that respond with what python/answers.py has; see
-- test_respond.py. $kind is one of KINDS, $method the method.

local ffi = require "resty.ffi"


local _M = {}

local KINDS = {
    json = { json = true },
    sse = { sse = true },
    stream = { stream = true, type = "text/plain" },
    text = { type = "text/css" },
    given = { json = true, request = "given" },
    impatient = { json = true, timeout = 100 },
    ["impatient-sse"] = { sse = true, first_timeout = 100,
                          read_timeout = 100 },
    small = { json = true },
}


function _M.load(config, opts)
    local cfg = "answers,Answers," .. (config or "")
    return assert(ffi.load("ffi_python3", cfg, opts))
end


function _M.runtime()
    return _M.load()
end


function _M.respond()
    local rt, method = _M.load(), ngx.var.method

    if ngx.var.kind == "small" then
        rt = _M.load("small", { max_request_bytes = 100,
                                max_response_bytes = 50 })
    elseif ngx.var.args == "kept" then
        rt = _M.kept
    end

    if method == "" then
        method = nil
    end

    ffi.respond(rt, method, KINDS[ngx.var.kind])
    error("not reached")
end


function _M.capture()
    local res = ngx.location.capture(ngx.var.args, {
        method = ngx.HTTP_POST,
        body = "body",
    })

    ngx.print(res.status, " ", res.header["Content-Type"], " ", res.body)
end


return _M
