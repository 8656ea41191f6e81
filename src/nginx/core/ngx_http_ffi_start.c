#include <ngx_config.h>
#include <ngx_core.h>

#include "abi.h"
#include "answer.h"
#include "ngx_http_ffi_registry.h"
#include "ngx_http_ffi_start.h"
#include "ngx_http_ffi_wake.h"


typedef struct {
    ngx_queue_t                queue;
    uint64_t                   task;
} ngx_http_ffi_loader_t;


static void ngx_http_ffi_notify(ngx_http_ffi_runtime_t *rt,
    uint64_t task);


void
ngx_http_ffi_start_answered(bridge_task_t *t)
{
    ngx_http_ffi_runtime_t  *rt;

    rt = t->data;
    rt->reported = 1;

    if (t->rc != 0) {
        bridge_queue_detach(rt->requests);
    }

    if (rt->state != NGX_HTTP_FFI_STARTING) {
        bridge_task_free(bridge_host(), t, 0);
        return;
    }

    if (t->rc == 0) {
        ngx_http_ffi_ready(rt);

    } else {
        if (t->rsp == NULL
            || ngx_http_ffi_dup(&rt->err, (u_char *) t->rsp, t->rsp_len)
               != NGX_OK)
        {
            ngx_str_null(&rt->err);
        }

        ngx_http_ffi_close(rt, NGX_HTTP_FFI_FAILED);
    }

    bridge_task_free(bridge_host(), t, 0);

    ngx_http_ffi_notify_loaders(rt);
}


void
ngx_http_ffi_notify_loaders(ngx_http_ffi_runtime_t *rt)
{
    ngx_queue_t            *q;
    ngx_http_ffi_loader_t  *l;

    while (!ngx_queue_empty(&rt->loaders)) {
        q = ngx_queue_head(&rt->loaders);
        ngx_queue_remove(q);

        l = ngx_queue_data(q, ngx_http_ffi_loader_t, queue);
        ngx_http_ffi_notify(rt, l->task);
        ngx_free(l);
    }
}


static void
ngx_http_ffi_notify(ngx_http_ffi_runtime_t *rt, uint64_t task)
{
    ngx_str_t  err;

    if (rt->state == NGX_HTTP_FFI_READY
        || ngx_http_ffi_dup(&err, rt->err.data, rt->err.len) != NGX_OK)
    {
        ngx_str_null(&err);
    }

    if (!bridge_task_answer(bridge_host(), task,
                            rt->state != NGX_HTTP_FFI_READY,
                            (char *) err.data, err.len,
                            err.data ? bridge_release_free : NULL,
                            err.data)
        && err.data)
    {
        ngx_free(err.data);
    }
}


ngx_int_t
ngx_http_ffi_notify_started(ngx_http_ffi_runtime_t *rt,
    bridge_task_t *t)
{
    ngx_http_ffi_loader_t  *l;

    l = ngx_alloc(sizeof(ngx_http_ffi_loader_t), ngx_cycle->log);
    if (l == NULL) {
        return NGX_ERROR;
    }

    l->task = bridge_task_handle(t);
    ngx_queue_insert_tail(&rt->loaders, &l->queue);

    return NGX_OK;
}


void
ngx_http_ffi_wait_started(ngx_http_ffi_runtime_t *rt, ngx_msec_t ms)
{
    ngx_msec_t      elapsed;
    struct timeval  tv, start;

    ngx_gettimeofday(&start);
    elapsed = 0;

    ngx_http_ffi_wake_now();

    while (rt->state == NGX_HTTP_FFI_STARTING
           && (ms == 0 || elapsed < ms))
    {
        ngx_http_ffi_event_wait(ms ? ms - elapsed : 1000);

        ngx_gettimeofday(&tv);
        elapsed = (ngx_msec_t) ((tv.tv_sec - start.tv_sec) * 1000
                                + (tv.tv_usec - start.tv_usec) / 1000);
    }
}
