/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Starts asynchronously: reports from a thread, as the first word of cfg
 * says ("ok", "bad" or "twice"), once the file named behind it is there.
 */

#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resty_ffi.h"

const int  resty_ffi_async = 1;

typedef struct {
    void  *tq;
    char  *cfg;
} runtime_t;


static void *
run(void *arg)
{
    runtime_t  *rt = arg;
    void       *task;
    char       *file = strchr(rt->cfg, ' ') + 1;

    while (access(file, F_OK) != 0) {
        usleep(5000);
    }

    if (strncmp(rt->cfg, "bad", 3) == 0) {
        resty_ffi_started(rt->tq, 3, "not today", 9);

    } else {
        resty_ffi_log(RESTY_FFI_LOG_WARN, "under way", 9);
        resty_ffi_started(rt->tq, 0, NULL, 0);
    }

    if (strncmp(rt->cfg, "twice", 5) == 0) {
        resty_ffi_started(rt->tq, 0, NULL, 0);
    }

    while ((task = ngx_http_lua_ffi_task_poll(rt->tq)) != NULL) {
        ngx_http_lua_ffi_respond(task, 0, strdup("async"), 0);
    }

    free(rt->cfg);
    free(rt);

    return NULL;
}


int
libffi_init(char *cfg, void *tq)
{
    pthread_t   t;
    runtime_t  *rt = malloc(sizeof(runtime_t));

    rt->tq = tq;
    rt->cfg = strdup(cfg);

    if (pthread_create(&t, NULL, run, rt) != 0) {
        return 1;
    }

    return pthread_detach(t);
}
