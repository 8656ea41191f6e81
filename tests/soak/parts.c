/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A runtime that inverts requests part by part, and counts: each part that
 * send has taken must be given back once.  At its end it logs how many were.
 */

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resty_ffi.h"


#define THREADS  4


typedef struct {
    size_t  len;
    char    bytes[];
} part_t;


static atomic_ulong  sent, released, delivered;
static atomic_int    running;


static void
release(void *arg, int arrived)
{
    part_t  *part = arg;

    /* what is read after this, valgrind and a checked heap see */
    memset(part->bytes, 0, part->len);
    free(part);

    delivered += (unsigned long) arrived;
    released++;
}


/* 0, or what send says */
static int
send_inverted(void *task, const char *bytes, size_t len)
{
    int      rc;
    size_t   i;
    part_t  *part;

    part = malloc(sizeof(part_t) + len);
    if (part == NULL) {
        return ENOMEM;
    }

    part->len = len;

    for (i = 0; i < len; i++) {
        part->bytes[i] = (char) ~bytes[i];
    }

    /* before: it may be given back before send returns */
    sent++;

    while ((rc = resty_ffi_send(task, part->bytes, len, release, part))
           == EAGAIN)
    {
        resty_ffi_wait(task, RESTY_FFI_WRITABLE, -1);
    }

    if (rc) {
        sent--;
        free(part);
    }

    return rc;
}


static void
serve(void *task)
{
    int      rc, len;
    char    *bytes;
    size_t   size;

    bytes = ngx_http_lua_ffi_get_req(task, &len);
    rc = bytes && len ? send_inverted(task, bytes, (size_t) len) : 0;

    while (rc == 0) {
        rc = resty_ffi_read(task, &bytes, &size);

        if (rc == EAGAIN) {
            resty_ffi_wait(task, RESTY_FFI_READABLE, -1);
            rc = 0;
            continue;
        }

        if (rc || bytes == NULL) {
            break;
        }

        rc = send_inverted(task, bytes, size);
        free(bytes);
    }

    ngx_http_lua_ffi_respond(task, rc, NULL, 0);
}


static void *
run(void *tq)
{
    int    n;
    void  *task;
    char   text[100];

    while ((task = ngx_http_lua_ffi_task_poll(tq)) != NULL) {
        serve(task);
    }

    if (--running == 0) {
        n = snprintf(text, sizeof(text),
                     "parts: %lu sent, %lu released, %lu delivered",
                     sent, released, delivered);
        resty_ffi_log(RESTY_FFI_LOG_NOTICE, text, n);
    }

    return NULL;
}


int
libffi_init(char *cfg, void *tq)
{
    int        i;
    pthread_t  thread;

    (void) cfg;
    running = THREADS;

    for (i = 0; i < THREADS; i++) {
        if (pthread_create(&thread, NULL, run, tq)
            || pthread_detach(thread))
        {
            return 1;
        }
    }

    return 0;
}
