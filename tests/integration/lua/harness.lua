-- SPDX-License-Identifier: BSD-2-Clause

local _M = {}

local escapes = {}
for byte = 0, 255 do
    local char = string.char(byte)
    if byte < 32 or byte > 126 or char == '"' or char == "\\" then
        escapes[char] = string.format("\\u%04x", byte)
    end
end


local function encode(value)
    local kind = type(value)

    if kind == "nil" then
        return "null"
    elseif kind == "boolean" then
        return tostring(value)
    elseif kind == "number" then
        return string.format("%.17g", value)
    elseif kind == "string" then
        return '"' .. value:gsub(".", escapes) .. '"'
    elseif kind ~= "table" then
        return '"<' .. kind .. '>"'
    end

    local items = {}
    for i = 1, table.maxn(value) do
        items[i] = encode(value[i])
    end
    return "[" .. table.concat(items, ",") .. "]"
end


local function reply(ok, ...)
    local items = {}
    for i = 1, select("#", ...) do
        items[i] = encode((select(i, ...)))
    end
    ngx.print("[", tostring(ok), ",[", table.concat(items, ","), "]]")
end


function _M.run()
    ngx.req.read_body()
    local chunk, err = loadstring(ngx.req.get_body_data() or "", "=test")
    if not chunk then
        return reply(false, err)
    end
    return reply(pcall(chunk))
end


return _M
