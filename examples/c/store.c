/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A runtime in C: keys and values in memory, one thread, one event loop.
 *
 *     rt:set("key=value")    keeps the value
 *     rt:get("key")          the value; status 404 where there is none
 *     rt:wait("key")         the value, once somebody has set it
 *     rt:waiting()           how many wait
 */

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resty_ffi.h"


#define BATCH    64
#define MISSING  404


/* read by nginx's thread until each answer that refers to it is released */
typedef struct {
    atomic_int   refs;
    size_t       len;
    char         bytes[];
} value_t;


typedef struct entry_s  entry_t;

struct entry_s {
    entry_t     *next;
    value_t     *value;
    char         key[];
};


typedef struct waiter_s  waiter_t;

struct waiter_s {
    waiter_t    *next;
    void        *task;
    char        *key;
};


typedef struct {
    void        *tq;
    int          fd;
    entry_t     *entries;
    waiter_t    *waiters;
} store_t;


static void
fail(void *task, int rc, const char *text)
{
    resty_ffi_respond_copy(task, rc, text, strlen(text));
}


static void
release(void *arg, int delivered)
{
    value_t  *v = arg;

    (void) delivered;

    if (atomic_fetch_sub(&v->refs, 1) == 1) {
        free(v);
    }
}


static void
respond_value(void *task, value_t *v)
{
    atomic_fetch_add(&v->refs, 1);
    resty_ffi_respond_ref(task, 0, v->bytes, v->len, release, v);
}


static entry_t *
find(store_t *s, const char *key)
{
    entry_t  *e;

    for (e = s->entries; e; e = e->next) {
        if (strcmp(e->key, key) == 0) {
            break;
        }
    }

    return e;
}


static entry_t *
find_or_add(store_t *s, const char *key)
{
    size_t    size;
    entry_t  *e;

    e = find(s, key);
    if (e) {
        return e;
    }

    size = strlen(key) + 1;

    e = malloc(sizeof(entry_t) + size);
    if (e == NULL) {
        return NULL;
    }

    memcpy(e->key, key, size);
    e->value = NULL;
    e->next = s->entries;
    s->entries = e;

    return e;
}


static void
free_waiter(waiter_t *w)
{
    free(w->key);
    free(w);
}


static void
answer_waiters(store_t *s, const entry_t *e)
{
    waiter_t  *w, **link;

    for (link = &s->waiters; (w = *link) != NULL; /* void */ ) {
        if (strcmp(w->key, e->key) != 0) {
            link = &w->next;
            continue;
        }

        *link = w->next;
        respond_value(w->task, e->value);
        free_waiter(w);
    }
}


static void
set(store_t *s, void *task)
{
    int       len;
    char     *req, *equals;
    size_t    size;
    entry_t  *e;
    value_t  *v;

    req = ngx_http_lua_ffi_get_req(task, &len);
    equals = req ? memchr(req, '=', (size_t) len) : NULL;

    if (equals == NULL) {
        fail(task, 1, "key=value expected");
        return;
    }

    *equals = '\0';
    size = (size_t) (req + len - (equals + 1));

    v = malloc(sizeof(value_t) + size);
    e = v ? find_or_add(s, req) : NULL;

    if (e == NULL) {
        free(v);
        fail(task, 1, "no memory");
        return;
    }

    atomic_init(&v->refs, 1);
    v->len = size;
    memcpy(v->bytes, equals + 1, size);

    if (e->value) {
        release(e->value, 0);
    }

    e->value = v;

    ngx_http_lua_ffi_respond(task, 0, NULL, 0);
    answer_waiters(s, e);
}


static void
get(store_t *s, void *task)
{
    char     *key;
    entry_t  *e;

    key = ngx_http_lua_ffi_get_req(task, NULL);
    e = key ? find(s, key) : NULL;

    if (e && e->value) {
        respond_value(task, e->value);

    } else {
        fail(task, MISSING, "no such key");
    }
}


static void
wait_for(store_t *s, void *task)
{
    char      *key;
    entry_t   *e;
    waiter_t  *w;

    key = resty_ffi_take_req(task, NULL);
    if (key == NULL) {
        fail(task, 1, "a key expected");
        return;
    }

    e = find(s, key);

    if (e && e->value) {
        respond_value(task, e->value);
        free(key);
        return;
    }

    w = malloc(sizeof(waiter_t));
    if (w == NULL) {
        fail(task, 1, "no memory");
        free(key);
        return;
    }

    w->task = task;
    w->key = key;
    w->next = s->waiters;
    s->waiters = w;
}


static void
count_waiting(store_t *s, void *task)
{
    int        n;
    char       text[16];
    waiter_t  *w;

    n = 0;

    for (w = s->waiters; w; w = w->next) {
        n++;
    }

    snprintf(text, sizeof(text), "%d", n);
    resty_ffi_respond_copy(task, 0, text, strlen(text));
}


static void
dispatch(store_t *s, void *task)
{
    int          len;
    size_t       i;
    const char  *name;

    static const struct {
        const char   *name;
        void        (*run)(store_t *s, void *task);
    } methods[] = {
        { "set", set },
        { "get", get },
        { "wait", wait_for },
        { "waiting", count_waiting },
    };

    name = resty_ffi_method(task, &len);

    for (i = 0; name && i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (strcmp(methods[i].name, name) == 0) {
            methods[i].run(s, task);
            return;
        }
    }

    fail(task, MISSING, "no such method");
}


/* their callers have gone, but each task must be answered once */
static void
drop_cancelled(store_t *s)
{
    int         i, n;
    void       *tasks[BATCH];
    waiter_t   *w, **link;

    do {
        n = resty_ffi_poll_events(s->tq, tasks, BATCH, 0);

        for (i = 0; i < n; i++) {
            for (link = &s->waiters; (w = *link) != NULL; link = &w->next) {
                if (w->task == tasks[i]) {
                    *link = w->next;
                    ngx_http_lua_ffi_respond(w->task, 1, NULL, 0);
                    free_waiter(w);
                    break;
                }
            }
        }

    } while (n == BATCH);
}


static void
store_free(store_t *s)
{
    entry_t   *e;
    waiter_t  *w;

    while ((w = s->waiters) != NULL) {
        s->waiters = w->next;
        fail(w->task, 1, "unloaded");
        free_waiter(w);
    }

    while ((e = s->entries) != NULL) {
        s->entries = e->next;

        if (e->value) {
            release(e->value, 0);
        }

        free(e);
    }

    free(s);
}


static void *
run(void *arg)
{
    int            i, n;
    void          *tasks[BATCH];
    store_t       *s = arg;
    uint64_t       count;
    struct pollfd  fds[1];

    resty_ffi_name(s->tq, "store");

    fds[0].fd = s->fd;
    fds[0].events = POLLIN;

    for ( ;; ) {
        drop_cancelled(s);

        n = resty_ffi_poll_batch(s->tq, tasks, BATCH, 0);
        if (n < 0) {
            break;
        }

        for (i = 0; i < n; i++) {
            dispatch(s, tasks[i]);
        }

        if (n == BATCH || !resty_ffi_arm(s->tq)) {
            continue;
        }

        /* sockets and timers of one's own would stand beside it */

        if (poll(fds, 1, -1) == 1
            && read(s->fd, &count, sizeof(count)) == -1)
        {
            /* there is nothing to take back then */
        }
    }

    store_free(s);

    return NULL;
}


int
libffi_init(char *cfg, void *tq)
{
    pthread_t   thread;
    store_t    *s;

    (void) cfg;

    s = calloc(1, sizeof(store_t));
    if (s == NULL) {
        return 1;
    }

    s->tq = tq;
    s->fd = resty_ffi_eventfd(tq);

    if (s->fd == -1 || pthread_create(&thread, NULL, run, s) != 0) {
        free(s);
        return 1;
    }

    return pthread_detach(thread);
}
