/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Answers with VERSION; for tests that replace a library.  A request
 * "stay" keeps its thread alive after the unload until a file of the name
 * in cfg is there.  With a cfg of "late" or "fail" it polls only after a
 * while, and fails to start with the latter.
 */

#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resty_ffi.h"

#ifndef VERSION
#define VERSION "1"
#endif

typedef struct {
    void  *tq;
    char  *file;
} runtime_t;


static void *
poll_queue(void *arg)
{
    runtime_t  *rt = arg;
    void       *task;
    int         stay = 0;

    if (rt->file[0] != '/') {
        usleep(150000);
    }

    while ((task = ngx_http_lua_ffi_task_poll(rt->tq)) != NULL) {
        const char  *req = ngx_http_lua_ffi_get_req(task, NULL);

        stay |= req != NULL && strcmp(req, "stay") == 0;
        ngx_http_lua_ffi_respond(task, 0, strdup(VERSION), 0);
    }

    while (stay && access(rt->file, F_OK) != 0) {
        usleep(5000);
    }

    free(rt->file);
    free(rt);

    return NULL;
}


int
libffi_init(char *cfg, void *tq)
{
    pthread_t   t;
    runtime_t  *rt = malloc(sizeof(runtime_t));
    int         fail = cfg != NULL && strcmp(cfg, "fail") == 0;

    rt->tq = tq;
    rt->file = strdup(cfg ? cfg : "/");

    if (pthread_create(&t, NULL, poll_queue, rt) != 0) {
        return 1;
    }

    pthread_detach(t);

    return fail;
}
