-- SPDX-License-Identifier: BSD-2-Clause

local resty_ffi = require "resty.ffi"
local ffi = require "ffi"

ffi.cdef [[
struct mallinfo2 {
    size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks,
           uordblks, fordblks, keepcost;
};
struct mallinfo2 mallinfo2(void);
]]

local _M = {}

local PLAIN = "soaked?,Plain"
local LOOP = "soaked?,Loop"
local BLOCK = "soaked?,block"
local INVERT = "soaked?,invert"

-- of a version
local DIGITS = 8

-- path -> cfg, method, opts of the call, and what comes before it
local hedge

local kinds = {
    sync = { PLAIN, "echo" },
    raise = { PLAIN, "fail" },
    refuse = { PLAIN, "refuse" },
    async = { LOOP, "echo" },
    late = { LOOP, "late" },
    slow = { LOOP, "slow", { timeout = 5 } },
    block = { BLOCK, "block", { timeout = 5 } },
    joined = { LOOP, "parts" },
    hedged = { LOOP, "late", nil, function(rt) hedge(rt) end },
}


local function load(cfg)
    return assert(ngx.load_ffi("ffi_python3", cfg, { max_queue = 1024 }))
end


-- asks twice, and takes the faster answer: the end of the slower one resumes
-- the caller in whatever it waits for next
function hedge(rt)
    local fast = ngx.thread.spawn(rt.echo, rt, "hedged")
    local slow = ngx.thread.spawn(rt.late, rt, "hedged")
    assert(ngx.thread.wait(fast, slow))
end


local function say(status, text)
    ngx.status = status
    ngx.header.content_length = #text
    ngx.print(text)
end


function _M.handle()
    local cfg, method, opts, before = unpack(kinds[ngx.var.uri:sub(2)], 1, 4)
    ngx.req.read_body()

    local rt = load(cfg)
    if before then
        before(rt)
    end

    local ok, res, err = rt[method](rt, ngx.req.get_body_data(), opts)

    if ok then
        return say(200, res or "")
    elseif type(res) == "number" then
        return say(500, res .. " " .. (err or ""))
    elseif res == "timeout" then
        return say(504, res)
    end

    say(503, res)
end


-- the client has the answer, or its connection is closed
local function pipe(s, size)
    ngx.header.content_length = size
    ngx.send_headers()

    local _, err = s:pipe()
    if err then
        ngx.log(ngx.INFO, err)
    end
end


-- each part as it was sent, see soaked.py
local function is_part(chunk, number, request)
    if number == 1 then
        return #chunk == DIGITS
    end

    local step = 16 + 8 * request:byte()
    local left = #request - (number - 2) * step

    return #chunk == math.min(step, left)
end


local function read(s, request, most)
    local chunks = {}

    repeat
        local chunk, err = s:read()
        if err then
            return say(err == "timeout" and 504 or 503, err)
        end

        chunks[#chunks + 1] = chunk

        if chunk and not is_part(chunk, #chunks, request) then
            return say(500, "part " .. #chunks .. " has " .. #chunk)
        end
    until not chunk or #chunks == most

    s:close()
    say(200, table.concat(chunks))
end


local function write(s, request)
    for begin = 1, #request, 1000 do
        if not s:write(request:sub(begin, begin + 999)) then
            return
        end
    end

    s:finish()
end


local C

-- path -> cfg (false: the runtime in C), method, opts of the stream, whether
-- the request is read before, and what uses the stream
local streams = {
    plain_parts = { PLAIN, "parts", {}, true, function(s, request)
        pipe(s, DIGITS + #request)
    end },
    async_parts = { LOOP, "parts", {}, true, function(s, request)
        pipe(s, DIGITS + #request)
    end },
    read = { LOOP, "parts", {}, true, read },
    cut = { LOOP, "parts", {}, true, function(s, request)
        read(s, request, #request % 9 + 1)
    end },
    stall = { LOOP, "stall", { read_timeout = 5 }, true, function(s)
        read(s, "")
    end },
    upload = { LOOP, "invert", { body = true }, false, function(s)
        pipe(s, DIGITS + ngx.var.content_length)
    end },
    upload_threads = { INVERT, nil, { body = true }, false, function(s)
        pipe(s, DIGITS + ngx.var.content_length)
    end },
    write = { LOOP, "invert", { input = true }, true, function(s, request)
        ngx.thread.spawn(write, s, request)
        pipe(s, DIGITS + #request)
    end },
    c = { false, nil, { body = true }, false, function(s)
        pipe(s, ngx.var.content_length)
    end },
}


function _M.stream()
    local cfg, method, opts, has_read, use = unpack(
        streams[ngx.var.uri:sub(2)], 1, 5)
    local request

    if has_read then
        ngx.req.read_body()
        request = ngx.req.get_body_data() or ""
    end

    local rt = cfg and load(cfg) or assert(ngx.load_ffi(C))
    local s, err = resty_ffi.stream(
        rt, method, not opts.input and request or nil, opts)
    if not s then
        return say(503, err)
    end

    use(s, request)
end


-- path: of the runtime in C
function _M.use(path)
    C = path
end


-- fresh code for all runtimes; answers with what went wrong, if anything
function _M.reload()
    for _, cfg in ipairs { PLAIN, LOOP, BLOCK, INVERT } do
        local ok, err = load(cfg):__reload()
        if not ok then
            return say(500, err)
        end
    end
    say(200, "")
end


-- bytes in use by malloc, those it keeps between them, bytes of this Lua,
-- blocks of Python's allocator
function _M.usage()
    local info = ffi.C.mallinfo2()
    local plain = load(PLAIN)
    local ok, blocks, err = plain:blocks()
    assert(ok, err or blocks)
    say(200, string.format("%d %d %d %s",
                           tonumber(info.uordblks + info.hblkhd),
                           tonumber(info.fordblks),
                           collectgarbage("count") * 1024, blocks))
end


return _M
