/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A runtime that does what each request tells it to, the forbidden
 * included.  cfg: words of "threads=N" (0: nobody polls), "again" (poll
 * after NULL), "late" (answer held tasks after NULL), "fail" (start, then
 * return 7), "fail-late" (the same, polling only later), "slow" (polls
 * later), "eventfd" (has one, which nobody waits on), "stay" (threads that
 * have seen NULL do not end), "name=" (all behind it is the runtime's name).
 */

#define _GNU_SOURCE
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "resty_ffi.h"
#include "probe.h"

#define MAX_HELD  131072

typedef struct {
    void       *tq;
    char       *cfg;
    bool        again;
    bool        late;
    bool        slow;
    bool        stay;
    atomic_int  threads;
} runtime_t;

typedef struct {
    void  *task;
    int    ms;
} delay_t;

static atomic_int       received, nulls, threads, inits, gated, reports,
                        abandoned;
static _Atomic(void *)  last, last_tq;
static bool             failing;

static pthread_mutex_t  lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t   opened = PTHREAD_COND_INITIALIZER;
static int              opens;
static void            *held[MAX_HELD];
static int              nheld;


int probe_received(void) { return received; }
int probe_nulls(void) { return nulls; }
int probe_threads(void) { return threads; }
int probe_inits(void) { return inits; }
int probe_gated(void) { return gated; }
int probe_reports(void) { return reports; }
int probe_abandoned(void) { return abandoned; }


int
probe_held(void)
{
    pthread_mutex_lock(&lock);
    int  n = nheld;
    pthread_mutex_unlock(&lock);

    return n;
}


static void
answer(void *task, int rc, const char *text)
{
    ngx_http_lua_ffi_respond(task, rc, strdup(text), (int) strlen(text));
}


int
probe_release(void)
{
    pthread_mutex_lock(&lock);

    int  n = nheld;

    while (nheld > 0) {
        answer(held[--nheld], 0, "released");
    }

    pthread_mutex_unlock(&lock);

    return n;
}


void
probe_open_gate(void)
{
    pthread_mutex_lock(&lock);
    opens++;
    pthread_cond_broadcast(&opened);
    pthread_mutex_unlock(&lock);
}


int
probe_answer_stale(void)
{
    void  *task = last;

    ngx_http_lua_ffi_respond(task, 0, strdup("stale"), 5);

    int  len = -1;

    return ngx_http_lua_ffi_get_req(task, &len) == NULL && len == 0;
}


static void
nap(int ms)
{
    struct timespec  ts = { ms / 1000, ms % 1000 * 1000000L };

    nanosleep(&ts, NULL);
}


static void *
answer_later(void *arg)
{
    delay_t  *d = arg;

    nap(d->ms);
    answer(d->task, 0, "later");
    free(d);

    return NULL;
}


static void
start(void *(*run)(void *), void *arg)
{
    pthread_t  t;

    if (pthread_create(&t, NULL, run, arg) != 0) {
        abort();
    }

    pthread_detach(t);
}


static void
hold(void *task)
{
    pthread_mutex_lock(&lock);

    if (nheld == MAX_HELD) {
        abort();
    }

    held[nheld++] = task;
    pthread_mutex_unlock(&lock);
}


static void
wait_at_gate(void)
{
    pthread_mutex_lock(&lock);

    int  seen = opens;

    gated++;
    while (opens == seen) {
        pthread_cond_wait(&opened, &lock);
    }
    gated--;

    pthread_mutex_unlock(&lock);
}


static void
garbage(void *task)
{
    char   bytes[64] = "a stack, not a task";
    int    len = -1;
    void  *bad[] = {
        (void *) 0x1234, (void *) -1, bytes,
        (void *) ((size_t) task ^ 1), (void *) ((size_t) task ^ 1u << 30),
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (ngx_http_lua_ffi_get_req(bad[i], &len) != NULL || len != 0) {
            answer(task, 1, "a request from garbage");
            return;
        }

        ngx_http_lua_ffi_respond(bad[i], 0, strdup("bad"), 3);

        if (ngx_http_lua_ffi_task_poll(bad[i]) != NULL) {
            answer(task, 1, "a task from garbage");
            return;
        }
    }

    ngx_http_lua_ffi_respond(NULL, 0, strdup("bad"), 3);

    answer(task, 0, "fine");
}


static void
get_null(void *task)
{
    int  len = -1;

    if (ngx_http_lua_ffi_get_req(NULL, &len) != NULL || len != 0
        || ngx_http_lua_ffi_get_req(NULL, NULL) != NULL)
    {
        answer(task, 1, "not NULL");
        return;
    }

    answer(task, 0, "fine");
}


/* all bytes that the allocator gave, none of them NUL */
static void
no_nul(void *task, size_t size)
{
    char  *rsp = malloc(size);

    memset(rsp, 'x', malloc_usable_size(rsp));
    ngx_http_lua_ffi_respond(task, 0, rsp, 0);
}


static void
abandoned_huge(void *arg, int delivered)
{
    munmap(arg, INT_MAX);

    if (!delivered) {
        abandoned++;
    }
}


/* more than a Lua string can be, and no memory of it is touched */
static void
huge(void *task)
{
    void  *rsp = mmap(NULL, INT_MAX, PROT_READ,
                      MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE, -1, 0);

    if (rsp == MAP_FAILED) {
        answer(task, 1, "no address space");
        return;
    }

    resty_ffi_respond_ref(task, 0, rsp, INT_MAX, abandoned_huge, rsp);
}


static void
leave(runtime_t *rt)
{
    if (atomic_fetch_sub(&rt->threads, 1) == 1) {
        free(rt->cfg);
        free(rt);
    }

    threads--;
}


/* the thread that polls is no more */
static void
die(runtime_t *rt, void *task)
{
    answer(task, 0, "dead");
    leave(rt);
    pthread_exit(NULL);
}


static bool
is(const char *req, const char *word)
{
    return strncmp(req, word, strlen(word)) == 0;
}


static void
serve(runtime_t *rt, void *task)
{
    int          len;
    char        *req = ngx_http_lua_ffi_get_req(task, &len);
    const char  *colon;

    received++;
    last = task;

    if (req == NULL) {
        answer(task, 0, len == 0 ? "nil" : "nil with a length");
        return;
    }

    if (req[len] != '\0') {
        answer(task, 1, "no NUL behind the request");
        return;
    }

    colon = strchr(req, ':');
    colon = colon ? colon + 1 : "";

    if (is(req, "hold")) {
        hold(task);

    } else if (is(req, "delay:")) {
        delay_t  *d = malloc(sizeof(delay_t));

        *d = (delay_t) { task, atoi(colon) };
        start(answer_later, d);

    } else if (is(req, "work:")) {
        nap(atoi(colon));
        resty_ffi_log(RESTY_FFI_LOG_NOTICE, "worked", 6);
        answer(task, 0, "worked");

    } else if (is(req, "die")) {
        die(rt, task);

    } else if (is(req, "gate")) {
        wait_at_gate();
        answer(task, 0, "through");

    } else if (is(req, "status:")) {
        answer(task, atoi(colon), "no");

    } else if (is(req, "bare:")) {
        ngx_http_lua_ffi_respond(task, atoi(colon), NULL, 0);

    } else if (is(req, "bare-length")) {
        ngx_http_lua_ffi_respond(task, 0, NULL, 5);

    } else if (is(req, "negative")) {
        ngx_http_lua_ffi_respond(task, 0, strdup("secret"), -3);

    } else if (is(req, "bare-negative")) {
        ngx_http_lua_ffi_respond(task, 0, NULL, -3);

    } else if (is(req, "cstr:")) {
        ngx_http_lua_ffi_respond(task, 0, strdup(colon), 0);

    } else if (is(req, "no-nul:")) {
        no_nul(task, (size_t) atoi(colon));

    } else if (is(req, "huge")) {
        huge(task);

    } else if (is(req, "twice")) {
        answer(task, 0, "first");
        answer(task, 0, "second");

    } else if (is(req, "garbage")) {
        garbage(task);

    } else if (is(req, "get-null")) {
        get_null(task);

    } else if (is(req, "deadline")) {
        answer(task, 0, resty_ffi_deadline(task) ? "some" : "none");

    } else if (is(req, "cfg")) {
        answer(task, rt->cfg == NULL, rt->cfg ? rt->cfg : "NULL");

    } else {
        char  *rsp = malloc((size_t) len + 1);

        memcpy(rsp, req, (size_t) len);
        rsp[len] = '\0';
        ngx_http_lua_ffi_respond(task, 0, rsp, len);
    }
}


static void *
poll_queue(void *arg)
{
    runtime_t  *rt = arg;
    void       *task;

    if (rt->slow) {
        nap(200);
    }

    while ((task = ngx_http_lua_ffi_task_poll(rt->tq)) != NULL) {
        serve(rt, task);
    }

    nulls++;

    if (rt->again && ngx_http_lua_ffi_task_poll(rt->tq) == NULL) {
        nulls++;
    }

    if (rt->late) {
        nap(50);
        probe_release();
    }

    if (rt->stay) {
        for ( ;; ) {
            pause();
        }
    }

    leave(rt);

    return NULL;
}


void
probe_revive(void)
{
    runtime_t  *rt = calloc(1, sizeof(runtime_t));

    rt->tq = last_tq;
    rt->threads = 1;
    threads++;
    start(poll_queue, rt);
}


void probe_fail_next(void) { failing = true; }


int
libffi_init(char *cfg, void *tq)
{
    runtime_t   *rt = calloc(1, sizeof(runtime_t));
    const char  *words = cfg ? cfg : "";
    const char  *count = strstr(words, "threads=");
    int          n = count ? atoi(count + 8) : 1;
    bool         fail = strstr(words, "fail") || failing;

    inits++;
    failing = false;

    if (strstr(words, "name=")) {
        resty_ffi_name(tq, strstr(words, "name=") + 5);
    }

    if (strstr(words, "eventfd")) {
        (void) resty_ffi_eventfd(tq);
    }

    rt->tq = last_tq = tq;
    rt->cfg = cfg ? strdup(cfg) : NULL;
    rt->again = strstr(words, "again") != NULL;
    rt->late = strstr(words, "late") != NULL;
    rt->stay = strstr(words, "stay") != NULL;
    rt->slow = strstr(words, "fail-late") || strstr(words, "slow");
    rt->threads = n;

    for (int i = 0; i < n; i++) {
        threads++;
        start(poll_queue, rt);
    }

    return fail ? 7 : 0;
}


void
resty_ffi_report(void *tq)
{
    char  text[64];

    reports++;

    resty_ffi_log(RESTY_FFI_LOG_ERR, text,
                  snprintf(text, sizeof(text),
                           "probe: %d threads are at a gate, %s",
                           (int) gated,
                           resty_ffi_arm(tq) ? "?" : "calls "
                           "wait"));
}
