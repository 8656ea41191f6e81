-- SPDX-License-Identifier: BSD-2-Clause

-- What tests do with streams.

local ffi = require "resty.ffi"

local _M = {}


-- all chunks, and what read says at the end
function _M.all(s)
    local chunks = {}
    while true do
        local chunk, err, status, text = s:read()
        if not chunk then
            return chunks, err, status, text
        end
        chunks[#chunks + 1] = chunk
    end
end


-- opens, and reads all as one string
function _M.whole(rt, method, req, opts)
    local s = assert(ffi.stream(rt, method, req, opts))
    local chunks, err, status, text = _M.all(s)
    return table.concat(chunks), err, status, text
end


return _M
