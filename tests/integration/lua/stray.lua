-- SPDX-License-Identifier: BSD-2-Clause

-- What the lua module does to a coroutine that has waited for several light
-- threads at once: the end of each later one resumes it, whatever it waits
-- for by then.

local _M = {}

local left = 0


local function sleeper(seconds)
    return function()
        ngx.sleep(seconds)
        left = left - 1
        return "not", "the", "answer"
    end
end


-- from now on n light threads resume the running coroutine, one each `every`
-- seconds, the first after `first`
function _M.expect(n, every, first)
    local threads = { ngx.thread.spawn(function() ngx.sleep(0) end) }
    left = left + n
    for i = 1, n do
        local seconds = (first or every) + (i - 1) * every
        threads[i + 1] = ngx.thread.spawn(sleeper(seconds))
    end
    assert(ngx.thread.wait(unpack(threads)))
end


-- how many have not yet, of all coroutines
function _M.left()
    return left
end


-- ok, seconds and what f returned, in which the coroutine waits
function _M.time(f, ...)
    ngx.update_time()
    local start = ngx.now()
    local ok, res, err = f(...)
    ngx.update_time()
    return ok, ngx.now() - start, res, err
end


return _M
