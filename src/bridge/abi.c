/* SPDX-License-Identifier: BSD-2-Clause */

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "resty_ffi.h"

#include "abi.h"
#include "answer.h"
#include "consumer.h"
#include "log.h"
#include "threads.h"


static bridge_t  host;


static void
in_forked_child(void)
{
    bridge_mark_dead(&host);
}


bool
bridge_host_init(void (*notify)(void *arg), void *arg)
{
    if (host.notify == NULL) {

        if (pthread_atfork(NULL, NULL, in_forked_child) != 0) {
            return false;
        }

        bridge_init(&host, notify, arg);
    }

    return true;
}


bridge_t *
bridge_host(void)
{
    return &host;
}


void *
ngx_http_lua_ffi_task_poll(void *tq)
{
    int       n;
    uint64_t  task;

    do {
        n = bridge_poll(&host, bridge_number(tq), &task, 1, -1);
    } while (n == 0);

    if (n > 0) {
        return (void *) (uintptr_t) task;
    }

    if (bridge_host_dead()) {
        return NULL;
    }

    if (!bridge_handle_is(bridge_number(tq), BRIDGE_KIND_QUEUE)) {
        bridge_logf(&host, RESTY_FFI_LOG_ERR,
                    "FFI016: ffi: task_poll(%p): not a queue", tq);

    } else if (bridge_threads_told(bridge_number(tq))) {
        bridge_logf(&host, RESTY_FFI_LOG_ERR,
                    "FFI015: ffi: "
                    "a thread polled queue %p again after the NULL that "
                    "says it is unloaded: the runtime's poll loop must end "
                    "at NULL", tq);
    }

    return NULL;
}


char *
ngx_http_lua_ffi_get_req(void *tsk, int *len)
{
    bool   ok;
    char  *req;

    req = bridge_task_req(&host, bridge_number(tsk), len, &ok);

    if (!ok && !bridge_host_dead()) {
        bridge_logf(&host, RESTY_FFI_LOG_ERR,
                    "FFI013: ffi: "
                    "get_req(%p): not a task that waits for its answer; "
                    "the runtime asked after answering, or made it up", tsk);
    }

    return req;
}


void
ngx_http_lua_ffi_respond(void *tsk, int rc, char *rsp, int rsp_len)
{
    bool    bad;
    size_t  len;

    if (bridge_host_dead()) {
        free(rsp);
        return;
    }

    bad = rsp_len < 0;
    len = rsp ? (size_t) rsp_len : 0;

    if (bad) {
        free(rsp);
        rsp = NULL;
        len = 0;

    } else if (rsp && rsp_len == 0) {
        len = strnlen(rsp, malloc_usable_size(rsp));
    }

    if (!bridge_task_answer(&host, bridge_number(tsk), rc, rsp, len,
                            rsp ? bridge_release_free : NULL, rsp))
    {
        free(rsp);
        bridge_logf(&host, RESTY_FFI_LOG_ERR,
                    "FFI013: ffi: "
                    "respond(%p): not a task that waits for its answer; "
                    "the runtime answered it twice, or made it up", tsk);
        return;
    }

    if (bad) {
        bridge_logf(&host, RESTY_FFI_LOG_ERR,
                    "FFI014: ffi: "
                    "respond(%p): negative length %d: answered without "
                    "a body", tsk, rsp_len);
    }
}


void
resty_ffi_started(void *tq, int rc, const char *err, int len)
{
    char            *text;
    uint64_t         start;
    bridge_queue_t  *q;

    if (bridge_host_dead()) {
        return;
    }

    start = 0;

    q = bridge_queue_pin(&host, bridge_number(tq));
    if (q) {
        start = atomic_exchange(&q->start, 0);
        bridge_queue_unpin(q);
    }

    text = NULL;

    if (rc && err && len > 0) {
        text = malloc((size_t) len);
        if (text) {
            memcpy(text, err, (size_t) len);
        }
    }

    if (!bridge_task_answer(&host, start, rc, text, text ? (size_t) len : 0,
                            text ? bridge_release_free : NULL, text))
    {
        free(text);
        bridge_logf(&host, RESTY_FFI_LOG_ERR,
                    "FFI016: ffi: "
                    "started(%p): not a runtime that is starting", tq);
    }
}


void
resty_ffi_log(int level, const char *msg, int len)
{
    resty_ffi_log_of(NULL, level, msg, len);
}


void
resty_ffi_log_of(void *tsk, int level, const char *msg, int len)
{
    if (msg && len > 0) {
        bridge_log_of(&host, bridge_number(tsk), level < 0 ? 0 : level, msg,
                      (size_t) len);
    }
}


int
resty_ffi_log_level(void)
{
    return atomic_load_explicit(&host.log_level, memory_order_relaxed);
}


void
resty_ffi_described(void *tsk, const char *text, int len)
{
    if (tsk && text && len > 0) {
        bridge_describe(&host, bridge_number(tsk), text, (size_t) len);
    }
}
