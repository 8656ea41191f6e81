/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * What counting costs nginx's thread for a call: put, answer, outcome, with
 * the clock read for the put and once for all answers of a batch.
 *
 *     status [millions of calls]
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ngx_http_ffi_library.h"
#include "ngx_http_ffi_status_account.h"
#include "ngx_http_ffi_status_zone.h"


#define BATCH    16
#define METHODS  4


/* of nginx, and of the zone */

volatile ngx_cycle_t   *ngx_cycle;
volatile ngx_msec_t     ngx_current_msec;
ngx_uint_t              ngx_pagesize = 4096;
ngx_rbtree_t            ngx_event_timer_rbtree;
ngx_event_actions_t     ngx_event_actions;

ngx_queue_t  ngx_http_ffi_live = { &ngx_http_ffi_live, &ngx_http_ffi_live };

void  (*ngx_http_ffi_released)(ngx_http_ffi_runtime_t *rt);

static ngx_http_ffi_status_zone_t    zone;
static ngx_http_ffi_status_worker_t  worker;


void
ngx_http_ffi_each_runtime(void (*visit)(ngx_http_ffi_runtime_t *rt))
{
    (void) visit;
}


void
ngx_http_ffi_status_attach(ngx_shm_zone_t *shm)
{
    (void) shm;
}


void
ngx_http_ffi_status_detach(void)
{
}


ngx_http_ffi_status_zone_t *
ngx_http_ffi_status_zone(void)
{
    return &zone;
}


ngx_http_ffi_status_worker_t *
ngx_http_ffi_status_worker(void)
{
    return &worker;
}


ngx_http_ffi_block_t *
ngx_http_ffi_status_block(ngx_str_t *runtime, ngx_str_t *method)
{
    (void) runtime;
    (void) method;

    return calloc(1, 1024);
}


ngx_str_t
ngx_http_ffi_runtime_name(ngx_http_ffi_runtime_t *rt)
{
    ngx_str_t  name = ngx_string("bench");

    (void) rt;

    return name;
}


const char *
ngx_http_ffi_library_about(void *library)
{
    (void) library;

    return NULL;
}


u_char *
ngx_cpystrn(u_char *dst, u_char *src, size_t n)
{
    (void) src;
    (void) n;

    return dst;
}


void *
ngx_calloc(size_t size, ngx_log_t *log)
{
    (void) log;

    return calloc(1, size);
}


void
ngx_rbtree_insert(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
    (void) tree;
    (void) node;
}


void
ngx_rbtree_delete(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
    (void) tree;
    (void) node;
}


void ngx_cdecl
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    (void) level;
    (void) log;
    (void) err;
    (void) fmt;
}


static double
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);

    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}


/* ns a call; with a deadline the clock is read for that, and not for this */
static double
run(ngx_http_ffi_runtime_t *rt, bridge_task_t *tasks, long calls,
    int with_deadline)
{
    int      i;
    long     n;
    double   start;
    int64_t  at;

    start = now();

    for (n = 0; n < calls; n += BATCH) {
        for (i = 0; i < BATCH; i++) {
            tasks[i].settled = false;
            tasks[i].put_at = with_deadline ? n : 0;
            ngx_http_ffi_status_put(rt, &tasks[i], NULL);
        }

        at = 0;

        for (i = 0; i < BATCH; i++) {
            tasks[i].taken_at = tasks[i].put_at + 30;
            ngx_http_ffi_status_up(&tasks[i], &at);
            ngx_http_ffi_status_settle(&tasks[i], NGX_HTTP_FFI_CALL_OK);
        }
    }

    return (now() - start) * 1e9 / (double) calls;
}


int
main(int argc, char **argv)
{
    int                      i;
    long                     calls;
    bridge_task_t           *tasks;
    bridge_queue_t          *queue;
    ngx_http_ffi_runtime_t   rt;

    static ngx_log_t    log;
    static ngx_cycle_t  cycle;

    static char  names[METHODS][8] = { "upper", "lower", "echo", "search" };

    cycle.log = &log;
    ngx_cycle = &cycle;

    calls = (argc > 1 ? atol(argv[1]) : 10) * 1000000;
    tasks = calloc(BATCH, sizeof(bridge_task_t));
    queue = calloc(1, sizeof(bridge_queue_t));

    if (tasks == NULL || queue == NULL) {
        return 1;
    }

    memset(&rt, 0, sizeof(rt));
    rt.requests = queue;

    for (i = 0; i < BATCH; i++) {
        atomic_store(&tasks[i].method, names[i % METHODS]);
        atomic_store(&tasks[i].method_len, (int) strlen(names[i % METHODS]));
        tasks[i].rsp = "x";
        tasks[i].rsp_len = 1;
    }

    printf("nothing is counted    %6.1f ns a call\n",
           run(&rt, tasks, calls, 1));

    ngx_http_ffi_status_start(NULL);

    printf("counted               %6.1f ns a call\n",
           run(&rt, tasks, calls, 1));
    printf("counted, no deadline  %6.1f ns a call\n",
           run(&rt, tasks, calls, 0));

    return 0;
}
