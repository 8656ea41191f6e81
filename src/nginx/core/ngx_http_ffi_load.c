/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>

#include <dlfcn.h>

#include "abi.h"
#include "resty_ffi.h"
#include "ngx_http_ffi_library.h"
#include "ngx_http_ffi_load.h"
#include "ngx_http_ffi_process.h"
#include "ngx_http_ffi_runtimes.h"
#include "ngx_http_ffi_status_account.h"
#include "threads.h"


/* threads of earlier runtimes; a reload leaves stuck ones behind */
#define NGX_HTTP_FFI_MAX_LEFT  256


static ngx_int_t ngx_http_ffi_prepare(u_char *err, size_t *errlen);


ngx_http_ffi_runtime_t *
ngx_http_ffi_load(ngx_http_ffi_load_t *load, u_char *err, size_t *errlen)
{
    void                  *library;
    ngx_http_ffi_entry_t  *e;

    e = ngx_http_ffi_registry_find(load, NULL);
    if (e) {
        return e->runtime;
    }

    if (ngx_http_ffi_prepare(err, errlen) != NGX_OK) {
        return NULL;
    }

    library = ngx_http_ffi_library_open(&load->lib, load->is_global, err,
                                        errlen);
    if (library == NULL) {
        return NULL;
    }

    /* another name of the same file */

    e = ngx_http_ffi_registry_find(load, library);
    if (e) {
        (void) dlclose(library);
        return e->runtime;
    }

    e = ngx_http_ffi_registry_new();
    if (e == NULL) {
        *errlen = ngx_snprintf(err, *errlen, "there are %d runtimes",
                               BRIDGE_MAX_QUEUES)
                  - err;
        (void) dlclose(library);
        return NULL;
    }

    ngx_log_debug2(NGX_LOG_DEBUG_CORE, ngx_cycle->log, 0,
                   "lua ffi: load \"%V\", id %uL", &load->lib, e->id);

    return ngx_http_ffi_start(load, library, e, err, errlen);
}


ngx_http_ffi_runtime_t *
ngx_http_ffi_reload(uint64_t id, u_char *err, size_t *errlen)
{
    void                    *library;
    ngx_int_t                left;
    ngx_http_ffi_load_t      load;
    ngx_http_ffi_runtime_t  *rt;

    rt = ngx_http_ffi_serving(id);
    if (rt == NULL) {
        *errlen = ngx_snprintf(err, *errlen,
                               NGX_HTTP_FFI_FINISHED) - err;
        return NULL;
    }

    if (rt->entry->next) {
        return rt->entry->next;
    }

    if (ngx_http_ffi_prepare(err, errlen) != NGX_OK) {
        return NULL;
    }

    left = bridge_threads_alive(bridge_host())
           - ngx_http_ffi_live_threads();

    if (left >= NGX_HTTP_FFI_MAX_LEFT) {
        *errlen = ngx_snprintf(err, *errlen, "%i threads of earlier runtimes "
                               "have not ended: reload nginx", left)
                  - err;
        return NULL;
    }

    ngx_http_ffi_status_reloaded(rt);

    load = rt->load;
    load.options[RESTY_FFI_RELOAD] = 1;

    library = ngx_http_ffi_library_open(&load.lib, load.is_global, err,
                                        errlen);
    if (library == NULL) {
        return NULL;
    }

    ngx_log_debug2(NGX_LOG_DEBUG_CORE, ngx_cycle->log, 0,
                   "lua ffi: reload \"%V\", id %uL", &load.lib, id);

    return ngx_http_ffi_start(&load, library, rt->entry, err, errlen);
}


/* this process is one that has runtimes; gives back what is left of some */
static ngx_int_t
ngx_http_ffi_prepare(u_char *err, size_t *errlen)
{
    if (atomic_load(&bridge_host()->exiting)) {
        *errlen = ngx_snprintf(err, *errlen, "shutting down") - err;
        return NGX_ERROR;
    }

    if (ngx_http_ffi_process_init(ngx_http_ffi_check_all_threads) != NGX_OK) {
        *errlen = ngx_snprintf(err, *errlen, "no connection or descriptor "
                               "left (see worker_connections)")
                  - err;
        return NGX_ERROR;
    }

    ngx_http_ffi_sweep_closing();

    return NGX_OK;
}


void
ngx_http_ffi_wait_started(ngx_http_ffi_runtime_t *rt, ngx_msec_t ms)
{
    ngx_msec_t      elapsed;
    struct timeval  tv, start;

    ngx_gettimeofday(&start);
    elapsed = 0;

    while (rt->state == NGX_HTTP_FFI_STARTING
           && (ms == 0 || elapsed < ms))
    {
        ngx_http_ffi_wake_now();
        ngx_http_ffi_event_wait(ms ? ms - elapsed : 1000);

        ngx_gettimeofday(&tv);
        elapsed = (ngx_msec_t) ((tv.tv_sec - start.tv_sec) * 1000
                                + (tv.tv_usec - start.tv_usec) / 1000);
    }
}


uint64_t
ngx_http_ffi_id(ngx_http_ffi_runtime_t *rt)
{
    return rt->entry->id;
}


ngx_http_ffi_runtime_t *
ngx_http_ffi_serving(uint64_t id)
{
    ngx_http_ffi_entry_t  *e;

    e = ngx_http_ffi_registry_get(id);

    return e && e->runtime->state == NGX_HTTP_FFI_READY ? e->runtime : NULL;
}


void
ngx_http_ffi_unload(uint64_t id)
{
    ngx_http_ffi_runtime_t  *rt;

    static ngx_str_t  finished = ngx_string(NGX_HTTP_FFI_FINISHED);

    rt = ngx_http_ffi_serving(id);
    if (rt == NULL) {
        return;
    }

    if (rt->entry->next) {
        ngx_http_ffi_runtime_event(rt->entry->next, NGX_HTTP_FFI_UNLOAD,
                                   &finished);
    }

    ngx_http_ffi_runtime_event(rt, NGX_HTTP_FFI_UNLOAD, NULL);
}
