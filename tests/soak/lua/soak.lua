-- SPDX-License-Identifier: BSD-2-Clause

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


-- fresh code for all runtimes; answers with what went wrong, if anything
function _M.reload()
    for _, cfg in ipairs { PLAIN, LOOP, BLOCK } do
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
