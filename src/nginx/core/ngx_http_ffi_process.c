/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include <malloc.h>

#include "ngx_http_ffi_conf.h"
#include "ngx_http_ffi_event.h"
#include "ngx_http_ffi_library.h"
#include "ngx_http_ffi_process.h"
#include "ngx_http_ffi_runtime.h"
#include "ngx_http_ffi_signal.h"
#include "ngx_http_ffi_status_block.h"
#include "abi.h"
#include "spawn.h"


/* free memory below this stays with the worker */
#define NGX_HTTP_FFI_KEEP_BELOW  (4 * 1024 * 1024)


/* ms between two looks of a worker that quits, while it is told and after */
#define NGX_HTTP_FFI_LOOK_TOLD   500
#define NGX_HTTP_FFI_LOOK        10


static void ngx_http_ffi_keep_environ(void);
static void ngx_http_ffi_event_handler(ngx_event_t *ev);
static void ngx_http_ffi_quits(void);
static void ngx_http_ffi_look(ngx_event_t *ev);
static void ngx_http_ffi_watch_stderr(void);
static void ngx_http_ffi_reopen(ngx_open_file_t *file, ngx_log_t *log);


static ngx_connection_t     *ngx_http_ffi_conn;
static ngx_event_t           ngx_http_ffi_look_event;
static ngx_http_ffi_quit_t  *ngx_http_ffi_told;

static void                (*ngx_http_ffi_flush)(ngx_open_file_t *file,
    ngx_log_t *log);
static ngx_uint_t            ngx_http_ffi_reopened;

static char                **ngx_http_ffi_environ;


ngx_int_t
ngx_http_ffi_process_init(void (*threads_ended)(void))
{
    ngx_http_ffi_main_conf_t  *fmcf;

    if (ngx_http_ffi_conn) {
        return NGX_OK;
    }

    ngx_http_ffi_conn = ngx_http_ffi_event_open(ngx_http_ffi_event_handler,
                                                threads_ended);
    if (ngx_http_ffi_conn == NULL) {
        return NGX_ERROR;
    }

    bridge_host()->kicked = ngx_http_ffi_kicked;
    bridge_host()->unsettled = ngx_http_ffi_status_unsettled;

    /*
     * Bodies are copied from thread to thread, and at the defaults (128 KiB)
     * nearly each of their buffers goes back to the kernel to be faulted in
     * again for the next one.
     */

    (void) mallopt(M_MMAP_THRESHOLD, NGX_HTTP_FFI_KEEP_BELOW);
    (void) mallopt(M_TRIM_THRESHOLD, 2 * NGX_HTTP_FFI_KEEP_BELOW);
    ngx_http_ffi_library_pin();
    ngx_http_ffi_signals_init();
    ngx_http_ffi_keep_environ();

    fmcf = ngx_http_cycle_get_module_main_conf(ngx_cycle, ngx_http_ffi_module);

    bridge_spawn_init((int) fmcf->umask, ngx_http_ffi_conn->fd);
    ngx_http_ffi_watch_stderr();

    if (ngx_exiting) {
        ngx_http_ffi_quits();
    }

    return NGX_OK;
}


/*
 * nginx has its strings in a pool, which it destroys when the worker ends; a
 * thread of a runtime, which begins just then, may read them all the same.
 */
static void
ngx_http_ffi_keep_environ(void)
{
    char    *p;
    size_t   n, size;

    for (n = 0, size = 0; environ[n]; n++) {
        size += ngx_strlen(environ[n]) + 1;
    }

    ngx_http_ffi_environ = (char **) ngx_alloc((n + 1) * sizeof(char *) + size,
                                               ngx_cycle->log);
    if (ngx_http_ffi_environ == NULL) {
        return;
    }

    p = (char *) &ngx_http_ffi_environ[n + 1];

    for (n = 0; environ[n]; n++) {
        ngx_http_ffi_environ[n] = p;
        size = ngx_strlen(environ[n]) + 1;
        p = (char *) ngx_cpymem(p, environ[n], size);
    }

    ngx_http_ffi_environ[n] = NULL;

    environ = ngx_http_ffi_environ;
}


void
ngx_http_ffi_on_quit(ngx_http_ffi_quit_t *q)
{
    q->next = ngx_http_ffi_told;
    ngx_http_ffi_told = q;
}


static void
ngx_http_ffi_event_handler(ngx_event_t *ev)
{
    ngx_connection_t  *c;

    c = ev->data;

    if (c->close) {
        c->close = 0;
        ngx_http_ffi_quits();
    }

    ngx_log_debug0(NGX_LOG_DEBUG_CORE, ngx_cycle->log, 0, "lua ffi: notified");

    if (ngx_http_ffi_reopened) {
        ngx_http_ffi_reopened = 0;
        bridge_spawn_stderr(STDERR_FILENO);
    }

    ngx_http_ffi_event_drain();
}


/* the worker, in whose master's name, or since it has lost its eventfd */
static void
ngx_http_ffi_quits(void)
{
    ngx_event_t               *ev;
    ngx_core_conf_t           *ccf;
    ngx_http_ffi_quit_t       *q;
    ngx_http_ffi_main_conf_t  *fmcf;

    fmcf = ngx_http_cycle_get_module_main_conf(ngx_cycle, ngx_http_ffi_module);

    ccf = (ngx_core_conf_t *) ngx_get_conf(ngx_cycle->conf_ctx,
                                           ngx_core_module);

    if (ngx_http_ffi_event_lost()) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "FFI008: lua ffi: "
                      "code of a runtime has closed descriptors that "
                      "are not its own, as os.closerange() does: this worker "
                      "quits, and its master starts another");

        if (ccf->shutdown_timeout == 0) {
            ccf->shutdown_timeout = fmcf->exit_timeout;
            ngx_set_shutdown_timer((ngx_cycle_t *) ngx_cycle);
        }
    }

    ev = &ngx_http_ffi_look_event;

    if (!ev->timer_set) {
        ev->handler = ngx_http_ffi_look;
        ev->data = ngx_http_ffi_conn;
        ev->log = ngx_cycle->log;
        ev->cancelable = 1;

        ngx_add_timer(ev, NGX_HTTP_FFI_LOOK);
    }

    ngx_log_debug2(NGX_LOG_DEBUG_CORE, ngx_cycle->log, 0,
                   "lua ffi: quit, waits end after %M and %M ms",
                   fmcf->exit_timeout, ccf->shutdown_timeout);

    for (q = ngx_http_ffi_told; q; q = q->next) {
        if (q->handler) {
            q->handler(fmcf->exit_timeout, ccf->shutdown_timeout);
        }
    }
}


void
ngx_http_ffi_tell_exit(void)
{
    ngx_http_ffi_quit_t  *q;

    for (q = ngx_http_ffi_told; q; q = q->next) {
        if (q->exit) {
            q->exit();
        }
    }
}


/* one that quits has no second handler for the loss */
static void
ngx_http_ffi_look(ngx_event_t *ev)
{
    if (!ngx_http_ffi_event_lost()) {
        ngx_add_timer(ev, NGX_HTTP_FFI_LOOK_TOLD);
        return;
    }

    ngx_http_ffi_event_drain();
    ngx_add_timer(ev, NGX_HTTP_FFI_LOOK);
}


/*
 * nginx makes its error log stderr, too, each time it reopens its files; of
 * which modules are told by the file's flush handler, shortly before.
 */
static void
ngx_http_ffi_watch_stderr(void)
{
    ngx_log_t  *log;

    log = ngx_log_get_file_log(ngx_cycle->log);

    if (log && log->file) {
        ngx_http_ffi_flush = log->file->flush;
        log->file->flush = ngx_http_ffi_reopen;
    }
}


static void
ngx_http_ffi_reopen(ngx_open_file_t *file, ngx_log_t *log)
{
    if (ngx_http_ffi_flush) {
        ngx_http_ffi_flush(file, log);
    }

    ngx_http_ffi_reopened = 1;
    ngx_http_ffi_event_notify();
}
