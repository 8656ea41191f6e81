#include <ngx_config.h>
#include <ngx_core.h>

#include <dlfcn.h>

#include "abi.h"
#include "resty_ffi.h"
#include "ngx_http_ffi_health.h"
#include "ngx_http_ffi_library.h"
#include "ngx_http_ffi_registry.h"
#include "ngx_http_ffi_start.h"
#include "threads.h"


/* threads of earlier runtimes; a reload leaves stuck ones behind */
#define NGX_HTTP_FFI_MAX_LEFT  256


static ngx_http_ffi_entry_t *ngx_http_ffi_entry(uint64_t id);
static ngx_http_ffi_entry_t *ngx_http_ffi_free_entry(void);
static ngx_http_ffi_runtime_t *ngx_http_ffi_find(
    ngx_http_ffi_load_t  *load, void *library);


/* the slot of an id is its remainder */
static ngx_http_ffi_entry_t  ngx_http_ffi_entries[BRIDGE_MAX_QUEUES];
static ngx_uint_t            ngx_http_ffi_nentries;


ngx_http_ffi_runtime_t *
ngx_http_ffi_load(ngx_http_ffi_load_t *load, u_char *err,
    size_t *errlen)
{
    void                    *library;
    ngx_http_ffi_entry_t    *e;
    ngx_http_ffi_runtime_t  *rt;

    rt = ngx_http_ffi_find(load, NULL);
    if (rt) {
        return rt;
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

    rt = ngx_http_ffi_find(load, library);
    if (rt) {
        (void) dlclose(library);
        return rt;
    }

    e = ngx_http_ffi_free_entry();
    if (e == NULL) {
        *errlen = ngx_snprintf(err, *errlen, "there are %d runtimes",
                               BRIDGE_MAX_QUEUES)
                  - err;
        (void) dlclose(library);
        return NULL;
    }

    return ngx_http_ffi_start(load, library, e, err, errlen);
}


ngx_http_ffi_runtime_t *
ngx_http_ffi_reload(uint64_t id, u_char *err, size_t *errlen)
{
    void                  *library;
    ngx_int_t              left;
    ngx_http_ffi_load_t    load;
    ngx_http_ffi_entry_t  *e;

    e = ngx_http_ffi_entry(id);
    if (e == NULL) {
        *errlen = ngx_snprintf(err, *errlen,
                               NGX_HTTP_FFI_FINISHED) - err;
        return NULL;
    }

    if (e->next) {
        return e->next;
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

    load = e->runtime->load;
    load.options[RESTY_FFI_RELOAD] = 1;

    library = ngx_http_ffi_library_open(&load.lib, load.is_global, err,
                                        errlen);
    if (library == NULL) {
        return NULL;
    }

    return ngx_http_ffi_start(&load, library, e, err, errlen);
}


static ngx_http_ffi_entry_t *
ngx_http_ffi_entry(uint64_t id)
{
    ngx_http_ffi_entry_t  *e;

    e = &ngx_http_ffi_entries[id % BRIDGE_MAX_QUEUES];

    if (e->id != id
        || e->runtime == NULL
        || e->runtime->state != NGX_HTTP_FFI_READY)
    {
        return NULL;
    }

    return e;
}


static ngx_http_ffi_entry_t *
ngx_http_ffi_free_entry(void)
{
    ngx_uint_t  i;

    for (i = 0; i < ngx_http_ffi_nentries; i++) {
        if (ngx_http_ffi_entries[i].runtime == NULL) {
            return &ngx_http_ffi_entries[i];
        }
    }

    if (i == BRIDGE_MAX_QUEUES) {
        return NULL;
    }

    ngx_http_ffi_entries[i].id = i;
    ngx_http_ffi_nentries++;

    return &ngx_http_ffi_entries[i];
}


static ngx_http_ffi_runtime_t *
ngx_http_ffi_find(ngx_http_ffi_load_t *load, void *library)
{
    ngx_uint_t               i;
    ngx_http_ffi_load_t     *known;
    ngx_http_ffi_runtime_t  *rt;

    for (i = 0; i < ngx_http_ffi_nentries; i++) {

        rt = ngx_http_ffi_entries[i].runtime;
        if (rt == NULL) {
            continue;
        }

        known = &rt->load;

        if (known->has_cfg != load->has_cfg
            || known->cfg.len != load->cfg.len
            || ngx_memcmp(known->cfg.data, load->cfg.data, load->cfg.len)
               != 0)
        {
            continue;
        }

        if (library ? rt->library == library
                    : (known->lib.len == load->lib.len
                       && ngx_memcmp(known->lib.data, load->lib.data,
                                     load->lib.len)
                          == 0))
        {
            return rt;
        }
    }

    return NULL;
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

    e = ngx_http_ffi_entry(id);

    return e ? e->runtime : NULL;
}


void
ngx_http_ffi_unload(uint64_t id)
{
    ngx_http_ffi_entry_t    *e;
    ngx_http_ffi_runtime_t  *next;

    e = ngx_http_ffi_entry(id);
    if (e == NULL) {
        return;
    }

    next = e->next;

    if (next) {
        (void) ngx_http_ffi_dup(&next->err,
                                (u_char *) NGX_HTTP_FFI_FINISHED,
                                sizeof(NGX_HTTP_FFI_FINISHED) - 1);
        ngx_http_ffi_close(next, NGX_HTTP_FFI_UNLOADED);
        ngx_http_ffi_notify_loaders(next);
    }

    ngx_http_ffi_close(e->runtime, NGX_HTTP_FFI_UNLOADED);
}


void
ngx_http_ffi_attach(ngx_http_ffi_entry_t *entry,
    ngx_http_ffi_runtime_t *rt)
{
    rt->entry = entry;

    if (entry->runtime) {
        entry->next = rt;

    } else {
        entry->runtime = rt;
    }
}


void
ngx_http_ffi_ready(ngx_http_ffi_runtime_t *rt)
{
    ngx_http_ffi_entry_t    *e;
    ngx_http_ffi_runtime_t  *old;

    rt->state = NGX_HTTP_FFI_READY;

    e = rt->entry;

    if (e->next == rt) {
        old = e->runtime;

        e->runtime = rt;
        e->next = NULL;

        ngx_http_ffi_close(old, NGX_HTTP_FFI_UNLOADED);
    }

    ngx_http_ffi_check_threads(rt);
}


void
ngx_http_ffi_detach(ngx_http_ffi_runtime_t *rt)
{
    ngx_http_ffi_entry_t  *e;

    e = rt->entry;

    if (e->next == rt) {
        e->next = NULL;

    } else if (e->runtime == rt) {
        e->runtime = NULL;
        e->id += BRIDGE_MAX_QUEUES;
    }
}
