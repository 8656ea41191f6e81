-- SPDX-License-Identifier: BSD-2-Clause

-- ffi.kafka for Lua: tables in and out. Keys, values and headers are byte
-- strings here; what is not ASCII crosses JSON as base64.

local json = require("cjson.safe").new()
local ffi = require "resty.ffi"

local ngx = ngx
local null = ngx.null
local encode_base64 = ngx.encode_base64
local decode_base64 = ngx.decode_base64
local exiting = ngx.worker.exiting
local type = type
local error = error
local next = next
local pairs = pairs
local tostring = tostring
local setmetatable = setmetatable
local find = string.find
local gsub = string.gsub
local format = string.format
local concat = table.concat
local sort = table.sort


local _M = {}
local mt = { __index = _M }

local stream = {}
local stream_mt = { __index = stream }

-- ms that a call waits longer than ffi.kafka has been told to
local GRACE = 5000

-- ms without a message, then a stream says so
local QUIET = 2000

-- what it says for Lua
local SILENCE = "\n"

-- s between looks whether the worker quits
local LOOK = 1

-- the status of what Kafka refused
local FAILED = 2

local NONE = {}

-- of static members, and what stands in it for the worker's number
local INSTANCE_ID = "group.instance.id"
local WORKER = "{worker}"


-- ngx.load_ffi tells runtimes apart by cfg: equal tables, equal strings.
local function canonical(value)
    if type(value) ~= "table" then
        return json.encode(value)
    end

    local items, is_list = {}, value[1] ~= nil

    for key, item in pairs(value) do
        local text, err = canonical(item)
        if not text then
            return nil, err
        end

        if is_list then
            items[key] = text
        else
            items[#items + 1] = json.encode(tostring(key)) .. ":" .. text
        end
    end

    if is_list then
        return "[" .. concat(items, ",") .. "]"
    end

    sort(items)

    return "{" .. concat(items, ",") .. "}"
end


-- The config of this worker. With the same id two members of a group would
-- end each other, so the workers' differ.
local function of_worker(cfg)
    local properties = cfg.librdkafka
    local id = type(properties) == "table" and properties[INSTANCE_ID]

    if not id then
        return cfg
    end

    id = tostring(id)

    local number = ngx.worker.id()

    if not find(id, WORKER, 1, true) then
        if number and ngx.worker.count() > 1 then
            return nil, INSTANCE_ID .. " needs " .. WORKER .. " in it, as"
                        .. " there is more than one worker: " .. id
        end

        return cfg
    end

    if not number then
        return nil, INSTANCE_ID .. ": this process has no worker number"
    end

    local copy = {}
    for key, value in pairs(cfg) do
        copy[key] = value
    end

    copy.librdkafka = {}
    for name, value in pairs(properties) do
        copy.librdkafka[name] = value
    end

    copy.librdkafka[INSTANCE_ID] = gsub(id, WORKER, number)

    return copy
end


-- k, err = kafka.new(cfg, opts)
--
-- cfg:  a table, see docs/kafka.md; equal ones are one runtime a worker.
-- opts: as ngx.load_ffi's.
function _M.new(cfg, opts)
    if type(cfg) ~= "table" then
        error("bad argument #1 to 'new' (table expected, got "
              .. type(cfg) .. ")", 2)
    end

    local err
    cfg, err = of_worker(cfg)
    if not cfg then
        return nil, "cfg: " .. err
    end

    local text
    text, err = canonical(cfg)
    if not text then
        return nil, "cfg: " .. err
    end

    local rt
    rt, err = ngx.load_ffi("ffi_python3", "ffi.kafka,init," .. text, opts)
    if not rt then
        return nil, err
    end

    local patience = cfg.timeout and cfg.timeout + GRACE

    return setmetatable({
        rt = rt,
        patience = patience,
        opts = { timeout = patience },
        produce_bytes = rt["produce bytes"],
    }, mt)
end


-- Of what a call returns: the body, or true where there is none; or nil, what
-- went wrong, and the status where ffi.kafka gave one.
local function result(ok, res, body)
    if ok then
        return res or true
    end

    if type(res) == "string" then
        return nil, res
    end

    return nil, body or "status " .. res, res
end


local function ask(self, request, timeout)
    if type(request) ~= "string" then
        local text, err = json.encode(request)
        if not text then
            return nil, err
        end

        request = text
    end

    return result(self.rt:ask(request, { timeout = timeout }))
end


local function is_ascii(value)
    return type(value) ~= "string" or not find(value, "[\128-\255]")
end


local function to_base64(value)
    return type(value) == "string" and encode_base64(value) or value
end


local function unchanged(value)
    return value
end


-- headers: { name = value } or { { name, value }, ... }
local function each_header(headers, map)
    local mapped = {}

    for name, value in pairs(headers) do
        if type(value) == "table" then
            mapped[name] = { value[1], map(value[2]) }
        else
            mapped[name] = map(value)
        end
    end

    return mapped
end


local function is_plain(message)
    if not is_ascii(message.msg) or not is_ascii(message.key) then
        return false
    end

    if type(message.headers) ~= "table" then
        return true
    end

    for _, value in pairs(message.headers) do
        if not is_ascii(type(value) == "table" and value[2] or value) then
            return false
        end
    end

    return true
end


-- Fills `into` with the message's fields, as JSON can carry them.
local function encode_message(message, into)
    if type(message) == "string" then
        message = { msg = message }
    end

    for name, value in pairs(message) do
        into[name] = value
    end

    if not is_plain(message) then
        into.encoding = "base64"
        into.msg = to_base64(message.msg)
        into.key = to_base64(message.key)

        if type(message.headers) == "table" then
            into.headers = each_header(message.headers, to_base64)
        end
    end

    return into
end


local function decode_message(message)
    local map = message.encoding and decode_base64 or unchanged

    local function value_of(value)
        if value ~= null then
            return map(value)
        end
    end

    message.encoding = nil
    message.key = value_of(message.key)
    message.value = value_of(message.value)

    if message.headers then
        message.headers = each_header(message.headers, value_of)
    end

    return message
end


local function is_list(value)
    return value[1] ~= nil or next(value) == nil
end


local function failed(reports)
    local first, count = nil, 0

    for i = 1, #reports do
        if reports[i].error then
            first = first or reports[i].error
            count = count + 1
        end
    end

    return format("%d of %d messages failed: %s", count, #reports, first)
end


-- res, err, rc, reports = k:produce(msg, opts)
--
-- msg:  a string, a table with msg (ngx.null: a tombstone), key, headers,
--       topic, partition and timestamp, or a list of these.
-- opts: report (true for where it is now), timeout (ms that the caller waits).
--
-- Returns true, or with opts.report a table or a list of them. Where only
-- some of a list failed and opts.report was true, `reports` says which.
function _M.produce(self, msg, opts)
    if type(msg) == "string" and opts == nil then
        return result(self.produce_bytes(self.rt, msg, self.opts))
    end

    opts = opts or NONE

    if type(msg) ~= "string" and type(msg) ~= "table" then
        error("bad argument #1 to 'produce' (string or table expected, got "
              .. type(msg) .. ")", 2)
    end

    local request = {}

    if type(msg) == "table" and is_list(msg) then
        local messages = {}
        for i = 1, #msg do
            messages[i] = encode_message(msg[i], {})
        end

        request.messages = messages

    else
        encode_message(msg, request)
    end

    request.type = "produce"
    request.report = opts.report

    local res, err, rc = ask(self, request, opts.timeout or self.patience)

    if not opts.report then
        return res, err, rc
    end

    if res then
        return json.decode(res)
    end

    local reports = rc == FAILED and request.messages and json.decode(err)
    if reports then
        return nil, failed(reports), rc, reports
    end

    return nil, err, rc
end


-- res, err, rc = k:consume(opts)
--
-- opts: timeout (ms to wait for a message), max (how many at most), report
--       (true for offsets; they are always there with ack = "manual").
--
-- Returns a message, with opts.max a list of them; nil where none came.
function _M.consume(self, opts)
    opts = opts or NONE

    local timeout = opts.timeout
    local res, err, rc = ask(self, {
        type = "consume",
        timeout = timeout,
        max = opts.max,
        report = opts.report,
    }, timeout and timeout + GRACE or self.patience)

    if type(res) ~= "string" then
        return nil, err, rc
    end

    res, err = json.decode(res)
    if not res then
        return nil, err
    end

    if not opts.max then
        return decode_message(res)
    end

    for i = 1, #res do
        decode_message(res[i])
    end

    return res
end


-- s, err, rc = k:stream(opts)
--
-- The group's messages as they come.
--
-- opts: format ("sse": s:pipe() gives a client server-sent events), quiet (ms
--       without a message, then a client gets a comment), timeout (ms that
--       Kafka may be away), report (as consume's).
function _M.stream(self, opts)
    opts = opts or NONE

    local quiet = opts.quiet or QUIET

    local request, err = json.encode({
        type = "stream",
        format = opts.format,
        quiet = quiet,
        timeout = opts.timeout,
        report = opts.report,
    })
    if not request then
        return nil, err
    end

    local patience = type(quiet) == "number" and quiet + GRACE or nil

    local parts
    parts, err = ffi.stream(self.rt, nil, request, {
        first_timeout = patience,
        read_timeout = patience,
    })
    if not parts then
        return nil, err
    end

    return setmetatable({
        kafka = self,
        parts = parts,
        is_text = opts.format == "sse",
    }, stream_mt)
end


-- Of what a stream returns: the first; or nil, what went wrong, and the
-- status where ffi.kafka gave one.
local function of_stream(res, err, rc, body)
    if err == "failed" then
        return nil, body or "status " .. rc, rc
    end

    return res, err
end


-- Streams must not keep a worker that quits: all of them end.
local function end_all(self)
    if not self.is_ending then
        self.is_ending = ask(self.kafka, '{"type":"end"}')
    end

    return self.is_ending
end


-- msg, err, rc = s:read()
--
-- The next message, or nil at the end: of the runtime, or of the worker.
function stream.read(self)
    local chunk, err, rc

    repeat
        if exiting() then
            end_all(self)
        end

        chunk, err, rc = of_stream(self.parts:read())
    until chunk ~= SILENCE

    if not chunk or self.is_text then
        return chunk, err, rc
    end

    local msg
    msg, err = json.decode(chunk)

    return msg and decode_message(msg), err
end


-- bytes, err, rc = s:pipe()
--
-- Sends all that comes to the client, until the end.
function stream.pipe(self)
    local watch = ngx.thread.spawn(function()
        while not (exiting() and end_all(self)) do
            ngx.sleep(LOOK)
        end
    end)

    local bytes, err, rc = of_stream(self.parts:pipe())

    ngx.thread.kill(watch)

    return bytes, err, rc
end


-- Nothing more is wanted: what was not read comes to another consumer.
function stream.close(self)
    return self.parts:close()
end


-- %d: cjson would round large offsets.
local function settle(self, kind, msg)
    local list = is_list(msg) and msg or { msg }
    local items = {}

    for i = 1, #list do
        local m = list[i]
        items[i] = format('{"topic":%s,"partition":%d,"offset":%d}',
                          json.encode(m.topic), m.partition, m.offset)
    end

    return ask(self, format('{"type":"%s","messages":[%s]}', kind,
                            concat(items, ",")))
end


-- ok, err, rc = k:ack(msg), k:nack(msg)
--
-- msg: a message from consume, or a list of them.
function _M.ack(self, msg)
    return settle(self, "ack", msg)
end


function _M.nack(self, msg)
    return settle(self, "nack", msg)
end


-- stats, err, rc = k:stats()
function _M.stats(self)
    local res, err, rc = ask(self, '{"type":"stats"}')
    if not res then
        return nil, err, rc
    end

    return json.decode(res)
end


-- Of this worker: consumes that wait end, the group is left.
function _M.close(self)
    return self.rt:__unload()
end


return _M
