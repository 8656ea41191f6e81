-- SPDX-License-Identifier: BSD-2-Clause

local _M = {}

local server = ngx.load_ffi("ffi_python3", 'wild,init,{"name":"x, y"}',
    {is_global = true, unpin = true})

local beats = 0

local function heartbeat(premature)
    if premature then
        return
    end
    local ok, res = server:beat('{"you":"timer"}')
    if ok then
        beats = beats + 1
    end
end

ngx.timer.every(0.02, heartbeat)

function _M.beats()
    return beats
end

function _M.greet(who)
    local ok, res, err = server:greet('{"you":"' .. who .. '"}')
    if not ok then
        return nil, err
    end
    return res
end

function _M.fail(text)
    return server:fail('{"fail":"' .. text .. '"}')
end

function _M.sleep(s)
    return server:sleep('{"you":"sleeper","sleep":' .. s .. '}')
end

return _M
