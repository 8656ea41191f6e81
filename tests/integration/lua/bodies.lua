-- SPDX-License-Identifier: BSD-2-Clause

-- What locations do with the bodies of requests.

local ffi = require "resty.ffi"
local jit_ffi = require "ffi"

jit_ffi.cdef [[
int streams_running(void);
int streams_taken(void);
int streams_gone(void);
int streams_faults(void);
]]

local C = jit_ffi.load("streams")
local _M = {}

local statuses = {
    ["client timed out"] = 408,
    ["request body too large"] = 413,
    ["invalid request body"] = 400,
}


function _M.open(method, req, opts)
    local rt = assert(ngx.load_ffi("streams"))

    opts = opts or {}
    opts.body = opts.body == nil or opts.body

    return ffi.stream(rt, method, req or "", opts)
end


local function failed(err)
    ngx.log(ngx.NOTICE, "body failed: ", err)
    ngx.status = statuses[(err:gsub("^refused: ", ""))] or 500
    ngx.say("failed: ", err)
end


-- all of the answer, or nil and what went wrong
function _M.all(s)
    local parts = {}

    while true do
        local part, err = s:read()
        if err then
            return nil, err
        end

        if not part then
            return table.concat(parts)
        end

        parts[#parts + 1] = part
    end
end


-- the whole answer of a method that the body is fed to
function _M.feed(method, req, opts)
    local s, err = _M.open(method, req, opts)
    if not s then
        return nil, "refused: " .. err
    end

    return _M.all(s)
end


-- sends that answer
function _M.answer(method, req, opts)
    local text, err = _M.feed(method, req, opts)
    if not text then
        return failed(err)
    end

    ngx.say(text)
end


-- sends each part of the answer as it comes
function _M.pass(method, req)
    local s = assert(_M.open(method, req))

    while true do
        local part, err = s:read()
        if err then
            return failed(err)
        end

        if not part then
            return
        end

        ngx.print(part)
        ngx.flush(true)
    end
end


return setmetatable(_M, { __index = function(_, name)
    return C["streams_" .. name]
end })
