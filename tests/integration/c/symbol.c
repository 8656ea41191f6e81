/* SPDX-License-Identifier: BSD-2-Clause */

/* Built twice, to see which one's symbol the process can find. */

#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include "resty_ffi.h"

int SYMBOL(void);


int
SYMBOL(void)
{
    return 42;
}


static void *
poll_queue(void *tq)
{
    void  *task;

    while ((task = ngx_http_lua_ffi_task_poll(tq)) != NULL) {
        ngx_http_lua_ffi_respond(task, 0, NULL, 0);
    }

    return NULL;
}


int
libffi_init(char *cfg, void *tq)
{
    pthread_t  t;

    (void) cfg;

    if (pthread_create(&t, NULL, poll_queue, tq) != 0) {
        return 1;
    }

    return pthread_detach(t);
}
