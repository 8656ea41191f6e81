/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A web application in C: one thread, all requests.
 *
 *     GET /          hello
 *     POST /echo     the body, as it arrives
 *     GET /events    ten events, one a second; or ?n=, one every ?ms=
 */

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "resty_ffi.h"


#define BATCH  64


typedef struct request_s  request_t;

/* one that takes longer than a moment */
struct request_s {
    request_t    *next;
    void         *task;
    char         *part;     /* echo: read, and not sent yet */
    size_t        len;
    int           events;   /* events: to send still */
    int           ms;
    int64_t       due;      /* 0: echo */
};


typedef struct {
    void         *tq;
    request_t    *requests;
} app_t;


static int64_t
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


static int
is(const resty_ffi_head_t *head, resty_ffi_text_t text, const char *value)
{
    return text.len == strlen(value)
           && memcmp(RESTY_FFI_TEXT(head, text), value, text.len) == 0;
}


/* of the query, a NUL stands behind it */
static int
number(const resty_ffi_head_t *head, const char *name, int missing)
{
    const char  *at;

    at = strstr(RESTY_FFI_TEXT(head, head->query), name);

    return at ? (int) strtol(at + strlen(name), NULL, 10) : missing;
}


static void
send_head(void *task, int status, const char *type)
{
    resty_ffi_header_t  headers[] = {
        { "Content-Type", 12, type, strlen(type) },
    };

    /* if it fails nobody waits, and respond may be called all the same */

    (void) resty_ffi_send_head(task, status, headers, 1);
}


static void
text(void *task, int status, const char *body)
{
    send_head(task, status, "text/plain");
    resty_ffi_respond_copy(task, 0, body, strlen(body));
}


static void
add(app_t *app, void *task, int events, int ms)
{
    request_t  *r;

    r = calloc(1, sizeof(request_t));
    if (r == NULL) {
        resty_ffi_respond_copy(task, 1, "no memory", 9);
        return;
    }

    r->task = task;
    r->events = events;
    r->ms = ms;
    r->due = events ? now() : 0;
    r->next = app->requests;
    app->requests = r;
}


static void
begin(app_t *app, void *task)
{
    const resty_ffi_head_t  *head;

    head = resty_ffi_head(task);

    if (head == NULL) {
        resty_ffi_respond_copy(task, 1, "this is for ffi_pass", 20);

    } else if (is(head, head->path, "/")) {
        text(task, 200, "hello\n");

    } else if (is(head, head->path, "/echo")) {
        send_head(task, 200, "application/octet-stream");
        add(app, task, 0, 0);

    } else if (is(head, head->path, "/events")) {
        send_head(task, 200, "text/event-stream");
        add(app, task, number(head, "n=", 10), number(head, "ms=", 1000));

    } else {
        text(task, 404, "there is nothing here\n");
    }
}


static void
release(void *arg, int delivered)
{
    (void) delivered;
    free(arg);
}


/* what is sent stays where it is until it is released; EAGAIN: later */
static int
echo(request_t *r)
{
    int  rc;

    for ( ;; ) {
        if (r->part == NULL) {
            rc = resty_ffi_read(r->task, &r->part, &r->len);

            if (rc != 0 || r->part == NULL) {
                return rc;
            }
        }

        rc = resty_ffi_send(r->task, r->part, r->len, release, r->part);
        if (rc != 0) {
            return rc;
        }

        r->part = NULL;
    }
}


static int
tick(request_t *r)
{
    int   n, rc;
    char  event[32];

    while (r->events > 0) {
        if (now() < r->due) {
            return EAGAIN;
        }

        n = snprintf(event, sizeof(event), "data: %d\n\n", r->events);

        rc = resty_ffi_send_copy(r->task, event, (size_t) n);
        if (rc != 0) {
            return rc;
        }

        r->events--;
        r->due += r->ms;
    }

    return 0;
}


/* goes on with all that can; returns when the next event is due, in ms */
static int
go_on(app_t *app)
{
    int         rc, wait;
    int64_t     left;
    request_t  *r, **link;

    wait = -1;

    for (link = &app->requests; (r = *link) != NULL; /* void */ ) {
        rc = r->due ? tick(r) : echo(r);

        if (rc == EAGAIN) {
            left = r->due - now();

            /* a slow client's is told by an event */

            if (left > 0 && (wait == -1 || left < wait)) {
                wait = (int) left;
            }

            link = &r->next;
            continue;
        }

        *link = r->next;

        /* also if nobody waits any more: each task is answered once */

        resty_ffi_respond_copy(r->task, rc, NULL, 0);
        free(r->part);
        free(r);
    }

    return wait;
}


static void *
run(void *arg)
{
    int         i, n, wait;
    void       *tasks[BATCH];
    app_t      *app = arg;
    request_t  *r;

    resty_ffi_name(app->tq, "web");

    wait = -1;

    for ( ;; ) {
        n = resty_ffi_poll_batch(app->tq, tasks, BATCH, wait);
        if (n < 0) {
            break;
        }

        for (i = 0; i < n; i++) {
            begin(app, tasks[i]);
        }

        /* a larger application would look each of them up */

        while (resty_ffi_poll_events(app->tq, tasks, BATCH, 1) == BATCH) {
            /* void */
        }

        wait = go_on(app);
    }

    /* unloaded: no event comes any more */

    while ((r = app->requests) != NULL) {
        app->requests = r->next;
        resty_ffi_respond_copy(r->task, 1, "unloaded", 8);
        free(r->part);
        free(r);
    }

    free(app);

    return NULL;
}


int
libffi_init(char *cfg, void *tq)
{
    app_t      *app;
    pthread_t   thread;

    (void) cfg;

    app = calloc(1, sizeof(app_t));
    if (app == NULL) {
        return 1;
    }

    app->tq = tq;

    if (pthread_create(&thread, NULL, run, app) != 0) {
        free(app);
        return 1;
    }

    return pthread_detach(thread);
}
