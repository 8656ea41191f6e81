/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Starts as cfg says: its first letter is what libffi_init reports, 'y' or
 * 'n', or '-' for nothing; the second one what it returns, '0' or '1'.
 */

#define _GNU_SOURCE
#include <pthread.h>
#include <string.h>

#include "resty_ffi.h"


static void *
run(void *tq)
{
    void  *task;

    while ((task = ngx_http_lua_ffi_task_poll(tq)) != NULL) {
        ngx_http_lua_ffi_respond(task, 0, strdup("started"), 0);
    }

    return NULL;
}


int
libffi_init(char *cfg, void *tq)
{
    pthread_t  t;

    if (cfg[0] == 'y') {
        resty_ffi_started(tq, 0, NULL, 0);

    } else if (cfg[0] == 'n') {
        resty_ffi_started(tq, 7, "no", 2);
    }

    if (pthread_create(&t, NULL, run, tq) != 0) {
        return 2;
    }

    (void) pthread_detach(t);

    return cfg[1] - '0';
}
