-- SPDX-License-Identifier: BSD-2-Clause

-- A topic over HTTP: post() adds a message, stream() sends what comes as
-- server-sent events. All streams, of every worker and machine, are one
-- consumer group: each message goes to one of them.

local kafka = require "resty.ffi.kafka"

local concat = table.concat
local gsub = string.gsub


local _M = {}

local CONFIG = {
    servers = "localhost:9092",
    topic = "demo",
    group_id = "demo",
    -- A message is done with when a client has its bytes.
    ack = "manual",
}

-- ms without a message, then a comment goes out: proxies see that the
-- connection lives, and the worker may want to leave.
local QUIET = 2000

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


local function is_utf8(value)
    local _, _, err = ngx.re.find(value, "", "ou")
    return not err
end


-- Any line end ends a line of an event; all of them come out as LF.
local function event_of(msg)
    local id = concat({ "id: ", msg.partition, "/", msg.offset, "\n" })
    local value = msg.value or ""

    if not is_utf8(value) then
        return concat({ id, "event: base64\ndata: ",
                        ngx.encode_base64(value), "\n\n" })
    end

    local lines = gsub(gsub(value, "\r\n?", "\n"), "\n", "\ndata: ")

    return concat({ id, "data: ", lines, "\n\n" })
end


local function send(text)
    return ngx.print(text) and ngx.flush(true)
end


-- Until the client goes, Kafka fails or the worker leaves: EventSource
-- connects again by itself.
function _M.stream()
    local k = connect()
    local unsent

    -- A client that goes away ends what waits in send(), too.
    ngx.on_abort(function()
        local msg = unsent
        unsent = nil

        if msg then
            k:nack(msg)
        end

        ngx.exit(499)
    end)

    ngx.header["Content-Type"] = "text/event-stream"
    ngx.header["Cache-Control"] = "no-store"

    local err
    local sent = send(": messages follow\n\n")

    while sent and not ngx.worker.exiting() do
        unsent, err = k:consume({ timeout = QUIET })

        if err then
            ngx.log(ngx.ERR, err)
            return
        end

        if not unsent then
            sent = send(": nothing new\n\n")

        else
            sent = send(event_of(unsent))

            local settle = sent and k.ack or k.nack
            local msg = unsent

            unsent = nil

            -- else the client's end has taken it back
            if msg then
                settle(k, msg)
            end
        end
    end
end


return _M
