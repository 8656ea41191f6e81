/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "abi.h"
#include "ngx_ffi_lua_log.h"
#include "ngx_http_ffi_health.h"


void
ngx_ffi_lua_log_full(ngx_http_request_t *r,
    ngx_http_ffi_runtime_t *rt)
{
    ngx_str_t  name;

    if (!ngx_http_ffi_may_log(&rt->full)) {
        return;
    }

    name = ngx_http_ffi_runtime_name(rt);

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "FFI001: lua ffi: "
                  "queue of \"%V\" is full (%uD requests): the "
                  "runtime is slower than its callers, see max_queue",
                  &name, rt->requests->limit);
}


void
ngx_ffi_lua_log_timeout(bridge_task_t *t)
{
    int                      tid;
    ssize_t                  n;
    ngx_fd_t                 fd;
    ngx_str_t                name;
    u_char                   path[64], comm[32];
    ngx_http_ffi_runtime_t  *rt;

    rt = ngx_http_ffi_runtime_of(t);
    if (rt == NULL) {
        return;
    }

    tid = bridge_task_holder(t);
    if (tid == 0) {
        ngx_http_ffi_not_taken(rt, t);
        return;
    }

    if (!ngx_http_ffi_may_log(&rt->timeout)) {
        return;
    }

    name = ngx_http_ffi_runtime_name(rt);

    ngx_sprintf(path, "/proc/self/task/%d/comm%Z", tid);
    n = 0;

    fd = ngx_open_file(path, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);
    if (fd != NGX_INVALID_FILE) {
        n = ngx_read_fd(fd, comm, sizeof(comm));
        (void) ngx_close_file(fd);
    }

    while (n > 0 && comm[n - 1] == '\n') {
        n--;
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "FFI002: lua ffi: a call to \"%V\" got no answer before its "
                  "deadline: thread %d \"%*s\" took it",
                  &name, tid, (size_t) ngx_max(n, 0), comm);
}


void
ngx_ffi_lua_log_large(bridge_task_t *t, size_t len)
{
    ngx_str_t                name;
    ngx_http_ffi_runtime_t  *rt;

    rt = ngx_http_ffi_runtime_of(t);

    if (rt == NULL || !ngx_http_ffi_may_log(&rt->large)) {
        return;
    }

    name = ngx_http_ffi_runtime_name(rt);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "FFI003: lua ffi: "
                  "\"%V\" has answered with %uz bytes: too large "
                  "for max_response_bytes, %uz; the call has failed",
                  &name, len, rt->load.max_response);
}
