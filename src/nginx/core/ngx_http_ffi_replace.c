/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include <signal.h>
#include <stdio.h>

#include "ngx_http_ffi_event.h"
#include "ngx_http_ffi_replace.h"
#include "ngx_http_ffi_status_zone.h"


/* ms between two looks; some more or less, so that workers differ */
#define NGX_HTTP_FFI_REPLACE_LOOK    900
#define NGX_HTTP_FFI_REPLACE_SPREAD  200

/* ms from the start of a successor to the next replacement, and jitter */
#define NGX_HTTP_FFI_REPLACE_PAUSE   10000
#define NGX_HTTP_FFI_REPLACE_JITTER  2000

/* ms after the end of all waits until the worker ends anyhow */
#define NGX_HTTP_FFI_REPLACE_GRACE   500

/* ms after which one that leaves is not believed, besides its timeouts */
#define NGX_HTTP_FFI_REPLACE_STALE   30000

/* ms that one lives that is above its limit before it has answered anything */
#define NGX_HTTP_FFI_REPLACE_LOW     30000

/* answers, below which a worker has what it started with */
#define NGX_HTTP_FFI_REPLACE_FEW     16


/* under the mutex of the zone, which the master unlocks for who has died */
typedef struct {
    ngx_pid_t    pid;       /* who leaves; 0: nobody */
    ngx_int_t    worker;    /* its number */
    ngx_msec_t   until;     /* then it is not believed */
    ngx_msec_t   next;      /* then another one may leave */
} ngx_http_ffi_replace_sh_t;


static ngx_int_t ngx_http_ffi_replace_zone_init(ngx_shm_zone_t *zone,
    void *data);
static void ngx_http_ffi_replace_begun(ngx_http_ffi_replace_sh_t *sh);
static void ngx_http_ffi_replace_look(ngx_event_t *ev);
static off_t ngx_http_ffi_replace_rss(void);
static ngx_uint_t ngx_http_ffi_replace_may_leave(void);
static void ngx_http_ffi_replace_log(ngx_uint_t rss, off_t bytes,
    ngx_uint_t answers);
static void ngx_http_ffi_replace_leave(ngx_event_t *ev);
static void ngx_http_ffi_replace_end(ngx_event_t *ev);


static ngx_http_ffi_limits_t  *ngx_http_ffi_replace_limits;
static ngx_uint_t              ngx_http_ffi_replace_requests;
static ngx_msec_t              ngx_http_ffi_replace_exit_timeout;
static ngx_uint_t              ngx_http_ffi_replace_leaving;
static ngx_uint_t              ngx_http_ffi_replace_blind;
static ngx_uint_t              ngx_http_ffi_replace_low;
static ngx_msec_t              ngx_http_ffi_replace_started;
static ngx_event_t             ngx_http_ffi_replace_event;
static ngx_connection_t        ngx_http_ffi_replace_dumb;


ngx_int_t
ngx_http_ffi_replace_zone(ngx_conf_t *cf, ngx_http_ffi_limits_t *limits,
    void *tag)
{
    ngx_shm_zone_t  *zone;

    static ngx_str_t  name = ngx_string("ngx_http_ffi_replace");

    if (limits->max_rss == 0 && limits->max_requests == 0) {
        return NGX_OK;
    }

    zone = ngx_shared_memory_add(cf, &name, 8 * ngx_pagesize, tag);
    if (zone == NULL) {
        return NGX_ERROR;
    }

    zone->init = ngx_http_ffi_replace_zone_init;
    zone->noreuse = 1;

    limits->zone = zone;

    return NGX_OK;
}


static ngx_int_t
ngx_http_ffi_replace_zone_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_http_ffi_replace_sh_t  *sh;

    (void) data;

    sh = ngx_slab_calloc((ngx_slab_pool_t *) zone->shm.addr,
                         sizeof(ngx_http_ffi_replace_sh_t));
    if (sh == NULL) {
        return NGX_ERROR;
    }

    sh->next = ngx_current_msec;
    zone->data = sh;

    return NGX_OK;
}


void
ngx_http_ffi_replace_start(ngx_http_ffi_limits_t *limits,
    ngx_msec_t exit_timeout)
{
    ngx_event_t      *ev;
    ngx_slab_pool_t  *pool;

    if (limits->zone == NULL) {
        return;
    }

    if (ngx_process != NGX_PROCESS_WORKER) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "FFI066: ffi: "
                      "\"ffi_max_rss\" and \"ffi_max_requests\" do nothing "
                      "with \"master_process off\": nobody would start "
                      "another process");
        return;
    }

    ngx_http_ffi_replace_limits = limits;
    ngx_http_ffi_replace_exit_timeout = exit_timeout;

    /* workers that have begun together do not end together */

    ngx_http_ffi_replace_requests = (ngx_uint_t) limits->max_requests
                + (ngx_uint_t) ngx_random()
                  % ((ngx_uint_t) limits->max_requests / 10 + 1);

    pool = (ngx_slab_pool_t *) limits->zone->shm.addr;

    ngx_time_update();
    ngx_http_ffi_replace_started = ngx_current_msec;

    ngx_shmtx_lock(&pool->mutex);
    ngx_http_ffi_replace_begun(limits->zone->data);
    ngx_shmtx_unlock(&pool->mutex);

    ngx_http_ffi_replace_dumb.fd = (ngx_socket_t) -1;

    ev = &ngx_http_ffi_replace_event;

    ev->handler = ngx_http_ffi_replace_look;
    ev->data = &ngx_http_ffi_replace_dumb;
    ev->log = ngx_cycle->log;
    ev->cancelable = 1;

    ngx_add_timer(ev, NGX_HTTP_FFI_REPLACE_LOOK);
}


/* the master starts a successor only when who has left has ended */
static void
ngx_http_ffi_replace_begun(ngx_http_ffi_replace_sh_t *sh)
{
    if (sh->pid && sh->worker == (ngx_int_t) ngx_worker) {
        sh->pid = 0;
        sh->next = ngx_current_msec + NGX_HTTP_FFI_REPLACE_PAUSE
                   + (ngx_msec_t) ngx_random() % NGX_HTTP_FFI_REPLACE_JITTER;
    }
}


ngx_uint_t
ngx_http_ffi_replace_leaves(void)
{
    return ngx_http_ffi_replace_leaving;
}


static void
ngx_http_ffi_replace_look(ngx_event_t *ev)
{
    off_t                   rss;
    ngx_uint_t              answers, large, many;
    ngx_http_ffi_limits_t  *limits;

    if (ngx_exiting || ngx_quit || ngx_terminate) {
        return;
    }

    limits = ngx_http_ffi_replace_limits;
    answers = ngx_http_ffi_event_answers();
    rss = ngx_http_ffi_replace_rss();

    large = limits->max_rss && rss > limits->max_rss;
    many = limits->max_requests && answers >= ngx_http_ffi_replace_requests;

    if (large && answers == 0) {
        ngx_http_ffi_replace_low = 1;
    }

    /* else one would leave before it has imported what it is to serve */

    if (ngx_http_ffi_replace_low
        && ngx_current_msec - ngx_http_ffi_replace_started
           < NGX_HTTP_FFI_REPLACE_LOW)
    {
        large = 0;
    }

    if ((large || many) && ngx_http_ffi_replace_may_leave()) {
        ngx_http_ffi_replace_log(large, rss, answers);
        ngx_http_ffi_status_replaced(large);
        ngx_http_ffi_replace_leave(ev);
        return;
    }

    ngx_add_timer(ev, NGX_HTTP_FFI_REPLACE_LOOK
                      + (ngx_msec_t) ngx_random()
                        % NGX_HTTP_FFI_REPLACE_SPREAD);
}


/* 0 where nobody knows */
static off_t
ngx_http_ffi_replace_rss(void)
{
    char            text[128];
    ssize_t         n;
    ngx_fd_t        fd;
    unsigned long   pages;

    fd = ngx_open_file((u_char *) "/proc/self/statm", NGX_FILE_RDONLY,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        n = NGX_FILE_ERROR;

    } else {
        n = ngx_read_fd(fd, text, sizeof(text) - 1);
        (void) ngx_close_file(fd);
    }

    text[ngx_max(n, 0)] = '\0';

    if (sscanf(text, "%*u %lu", &pages) == 1) {
        ngx_http_ffi_replace_blind = 0;
        return (off_t) pages * (off_t) ngx_pagesize;
    }

    if (!ngx_http_ffi_replace_blind) {
        ngx_http_ffi_replace_blind = 1;
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, ngx_errno,
                      "FFI011: ffi: "
                      "\"/proc/self/statm\" cannot be read: \"ffi_max_rss\" "
                      "does nothing meanwhile");
    }

    return 0;
}


/* takes what only one worker may have */
static ngx_uint_t
ngx_http_ffi_replace_may_leave(void)
{
    ngx_msec_t                  now;
    ngx_uint_t                  may;
    ngx_slab_pool_t            *pool;
    ngx_http_ffi_replace_sh_t  *sh;

    sh = ngx_http_ffi_replace_limits->zone->data;
    pool = (ngx_slab_pool_t *) ngx_http_ffi_replace_limits->zone->shm.addr;
    now = ngx_current_msec;

    ngx_shmtx_lock(&pool->mutex);

    if (sh->pid
        && ((ngx_msec_int_t) (now - sh->until) >= 0
            || (kill(sh->pid, 0) == -1 && ngx_errno == NGX_ESRCH)))
    {
        sh->pid = 0;
        sh->next = now + NGX_HTTP_FFI_REPLACE_PAUSE;
    }

    may = sh->pid == 0 && (ngx_msec_int_t) (now - sh->next) >= 0;

    if (may) {
        sh->pid = ngx_pid;
        sh->worker = (ngx_int_t) ngx_worker;
        sh->until = now + ngx_http_ffi_replace_limits->timeout
                    + ngx_http_ffi_replace_exit_timeout
                    + NGX_HTTP_FFI_REPLACE_STALE;
    }

    ngx_shmtx_unlock(&pool->mutex);

    return may;
}


static void
ngx_http_ffi_replace_log(ngx_uint_t rss, off_t bytes, ngx_uint_t answers)
{
    ngx_http_ffi_limits_t  *limits;

    limits = ngx_http_ffi_replace_limits;

    if (!rss) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "FFI064: ffi: "
                      "worker %P has answered %ui requests, "
                      "\"ffi_max_requests\" is %i: it leaves within %M ms, "
                      "and another one takes its place",
                      ngx_pid, answers, limits->max_requests,
                      limits->timeout);
        return;
    }

    if (answers >= NGX_HTTP_FFI_REPLACE_FEW && !ngx_http_ffi_replace_low) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "FFI064: ffi: "
                      "worker %P has %O MiB resident, \"ffi_max_rss\" is "
                      "%O MiB, after %ui requests: it leaves within %M ms, "
                      "and another one takes its place",
                      ngx_pid, bytes >> 20, limits->max_rss >> 20, answers,
                      limits->timeout);
        return;
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "FFI065: ffi: "
                  "\"ffi_max_rss\" of %O MiB is too low: worker %P has %O "
                  "MiB resident after %ui requests, and so will the one that "
                  "takes its place: workers go on being replaced, one in %d s "
                  "at the most",
                  limits->max_rss >> 20, ngx_pid, bytes >> 20, answers,
                  NGX_HTTP_FFI_REPLACE_PAUSE / 1000);
}


static void
ngx_http_ffi_replace_leave(ngx_event_t *ev)
{
    ngx_msec_t        timeout;
    ngx_core_conf_t  *ccf;

    timeout = ngx_http_ffi_replace_limits->timeout;

    ccf = (ngx_core_conf_t *) ngx_get_conf(ngx_cycle->conf_ctx,
                                           ngx_core_module);

    /* this process's own, and no other one leaves as long as it does */

    if (ccf->shutdown_timeout == 0 || ccf->shutdown_timeout > timeout) {
        ccf->shutdown_timeout = timeout;
    }

    ngx_http_ffi_replace_leaving = 1;
    ngx_quit = 1;

    ev->handler = ngx_http_ffi_replace_end;

    ngx_add_timer(ev, timeout + NGX_HTTP_FFI_REPLACE_GRACE);
}


/*
 * Something that has no client goes on, as a timer of Lua's; or a client has
 * sent half a head, which nginx's own timer for the end does not mind.
 */
static void
ngx_http_ffi_replace_end(ngx_event_t *ev)
{
    ngx_uint_t         i;
    ngx_connection_t  *c;

    (void) ev;

    c = ngx_cycle->connections;

    for (i = 0; i < ngx_cycle->connection_n; i++) {
        if (c[i].fd != (ngx_socket_t) -1
            && c[i].listening
            && !c[i].read->accept)
        {
            c[i].read->timedout = 1;
            c[i].read->handler(c[i].read);
        }
    }

    ngx_terminate = 1;
}
