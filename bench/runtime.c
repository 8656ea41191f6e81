/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The C competitor.  cfg "get": the request is a path, the response as many
 * bytes as it says; cfg "echo": the response is the request.
 */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "resty_ffi.h"


static void
answer(void *task, const char *bytes, size_t len)
{
    char  *rsp;

    rsp = malloc(len ? len : 1);
    if (rsp == NULL) {
        ngx_http_lua_ffi_respond(task, 1, NULL, 0);
        return;
    }

    memcpy(rsp, bytes, len);
    ngx_http_lua_ffi_respond(task, 0, rsp, (int) len);
}


static void *
get(void *tq)
{
    size_t      size, max;
    void       *task;
    char       *payload;
    const char *path;

    max = 1 << 20;

    payload = malloc(max);
    if (payload == NULL) {
        abort();
    }

    memset(payload, 'x', max);

    while ((task = ngx_http_lua_ffi_task_poll(tq)) != NULL) {
        path = ngx_http_lua_ffi_get_req(task, NULL);
        size = path != NULL ? strtoul(path + 1, NULL, 10) : 0;

        if (size == 0 || size > max) {
            ngx_http_lua_ffi_respond(task, 1, NULL, 0);
            continue;
        }

        answer(task, payload, size);
    }

    free(payload);

    return NULL;
}


static void *
echo(void *tq)
{
    int    len;
    void  *task;
    char  *req;

    while ((task = ngx_http_lua_ffi_task_poll(tq)) != NULL) {
        req = ngx_http_lua_ffi_get_req(task, &len);
        answer(task, req != NULL ? req : "", (size_t) len);
    }

    return NULL;
}


int
libffi_init(char *cfg, void *tq)
{
    pthread_t  thread;

    if (cfg == NULL) {
        return 1;
    }

    if (pthread_create(&thread, NULL, strcmp(cfg, "echo") ? get : echo, tq)) {
        return 1;
    }

    return pthread_detach(thread);
}
