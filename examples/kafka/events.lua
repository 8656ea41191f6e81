-- SPDX-License-Identifier: BSD-2-Clause

-- A topic over HTTP: post() adds a message, stream() sends what comes as
-- server-sent events. All streams, of every worker and machine, are one
-- consumer group: each message goes to one of them.

local kafka = require "resty.ffi.kafka"


local _M = {}

local CONFIG = {
    servers = "localhost:9092",
    topic = "demo",
    group_id = "demo",
    -- A message is done with when a client has its bytes.
    ack = "manual",
}

-- what ffi.kafka answers when its queue is full
local FULL = 3


local function connect()
    local k, err = kafka.new(CONFIG)
    if not k then
        ngx.log(ngx.ERR, err)
        return ngx.exit(ngx.HTTP_BAD_GATEWAY)
    end

    return k
end


-- Says partition/offset, the event's id.
function _M.post()
    if ngx.req.get_method() ~= "POST" then
        return ngx.exit(ngx.HTTP_NOT_ALLOWED)
    end

    -- It is in memory: the location has a buffer for the longest body, but
    -- for one in so many chunks that their heads fill it.
    ngx.req.read_body()
    if ngx.req.get_body_file() then
        return ngx.exit(413)
    end

    local body = ngx.req.get_body_data() or ""

    local report, err, rc = connect():produce(body, { report = true })
    if not report then
        ngx.log(ngx.ERR, err)
        return ngx.exit(rc == FULL and ngx.HTTP_SERVICE_UNAVAILABLE
                        or ngx.HTTP_BAD_GATEWAY)
    end

    ngx.say(report.partition, "/", report.offset)
end


-- Until the client goes, Kafka fails or the worker leaves: EventSource
-- connects again by itself.
function _M.stream()
    ngx.header["Content-Type"] = "text/event-stream"
    ngx.header["Cache-Control"] = "no-store"

    local events = assert(connect():stream({ format = "sse" }))
    local bytes, err, rc = events:pipe()

    if not bytes then
        ngx.log(rc and ngx.ERR or ngx.INFO, err)
    end
end


return _M
