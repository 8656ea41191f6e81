-- SPDX-License-Identifier: BSD-2-Clause

-- What the locations of the Kafka benchmark run: `produce` posts the
-- request's body, by one of three ways; `consume` empties a topic.

local ngx = ngx
local remove = table.remove
local find = string.find

local _M = {}

-- send(body) returns true, or nil and why not
local send


function _M.produce()
    ngx.req.read_body()

    local ok, err = send(ngx.req.get_body_data())
    if not ok then
        ngx.status = 502
        ngx.print(tostring(err))
        return
    end

    ngx.header.content_length = 0
end


function _M.echo()
    local echo, failed = ngx.load_ffi("ffi_python3", "ffi.echo,init")

    function send(body)
        if not echo then
            return nil, failed
        end

        local ok, res, err = echo:echo(body)
        return ok and res == body, err or res
    end
end


function _M.ffi(config)
    local k, failed = require("resty.ffi.kafka").new(config)

    function send(body)
        if not k then
            return nil, failed
        end

        return k:produce(body)
    end
end


-- A synchronous producer of lua-resty-kafka's has room for one message: each
-- request borrows one that no other request uses.
function _M.resty(args)
    local ok, producer = pcall(require, "nginx.kafka.producer")
    if not ok then
        producer = require "resty.kafka.producer"
    end

    local brokers = { { host = args.host, port = args.port } }
    local options = {
        required_acks = -1,
        api_version = 2,
        request_timeout = 10000,
        socket_timeout = 10000,
        keepalive_timeout = 600000,
        keepalive_size = 512,
    }
    local idle = {}

    function send(body)
        local p = remove(idle) or producer:new(brokers, options)
        local offset, err = p:send(args.topic, nil, body)
        idle[#idle + 1] = p

        return offset, err
    end
end


local function now()
    ngx.update_time()
    return ngx.now()
end


-- Arguments of the URI: group, count, max, calls at once, and whether
-- messages are wanted as tables.
function _M.consume(config)
    local args = ngx.req.get_uri_args()
    local count, max = tonumber(args.count), tonumber(args.max)

    config.group_id = args.group

    local k = assert(require("resty.ffi.kafka").new(config))
    local json = '{"type":"consume","max":' .. max .. "}"

    local function messages()
        if args.tables then
            return #(k:consume({ max = max }) or {})
        end

        local ok, body = k.rt:consume(json)
        if not ok or not body then
            return 0
        end

        -- one a message: values here have no such thing in them
        local n, at = 0, find(body, '"partition":', 1, true)
        while at do
            n, at = n + 1, find(body, '"partition":', at + 1, true)
        end

        return n
    end

    local seen = messages()
    local first, began = seen, now()

    -- what fails, or nothing within ffi.kafka's timeout
    assert(first > 0, "no message came")

    -- in two steps: others add to `seen` while this one waits
    local function loop()
        while seen < count do
            local more = messages()
            seen = seen + more
        end
    end

    local threads = {}
    for i = 1, tonumber(args.calls) do
        threads[i] = ngx.thread.spawn(loop)
    end

    -- the others wait for messages that will not come, and end at the close
    assert(ngx.thread.wait(unpack(threads)))
    local seconds = now() - began

    k:close()
    ngx.say(('{"messages": %d, "seconds": %.6f}'):format(seen - first,
                                                         seconds))
end


return _M
