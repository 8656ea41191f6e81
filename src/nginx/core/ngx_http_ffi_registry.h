/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_REGISTRY_H_INCLUDED_
#define _NGX_HTTP_FFI_REGISTRY_H_INCLUDED_

/*
 * An index of the worker's runtimes: by library and cfg, and by an id, behind
 * which a fresh runtime may take the place of the one that serves.
 *
 * They are the process's and not a Lua VM's: with lua_code_cache off there
 * is a VM for each request.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include "queue.h"

#pragma GCC visibility push(hidden)


typedef struct ngx_http_ffi_runtime_s  ngx_http_ffi_runtime_t;


/* What a load asks for. */
typedef struct {
    ngx_str_t                  lib;
    ngx_str_t                  cfg;
    ngx_uint_t                 max_queue;
    size_t                     max_request;
    size_t                     max_response;
    ngx_msec_t                 timeout;      /* NGX_CONF_UNSET_MSEC: none */
    ngx_uint_t                 spin;         /* us */
    double                     options[BRIDGE_QUEUE_OPTIONS];  /* or NaN */
    unsigned                   has_cfg:1;
    unsigned                   is_global:1;
    unsigned                   unpin:1;
} ngx_http_ffi_load_t;


typedef struct {
    uint64_t                   id;       /* exact in a double */
    ngx_http_ffi_runtime_t    *runtime;  /* NULL: the entry is free */
    ngx_http_ffi_runtime_t    *next;     /* starts, to replace it */

    /* what the runtime is found by, and owns */
    ngx_http_ffi_load_t       *load;
    void                      *library;
} ngx_http_ffi_entry_t;


/*
 * The entry of a runtime with these arguments: by the name of the library,
 * or, where library is not NULL, by that.  NULL where there is none.
 */
ngx_http_ffi_entry_t *ngx_http_ffi_registry_find(ngx_http_ffi_load_t *load,
    void *library);

/* The entry of an id; NULL where its runtime is gone. */
ngx_http_ffi_entry_t *ngx_http_ffi_registry_get(uint64_t id);

/* One that is free; NULL where there are BRIDGE_MAX_QUEUES runtimes. */
ngx_http_ffi_entry_t *ngx_http_ffi_registry_new(void);

/* rt, which is new, is of e: its runtime, or where it has one, its next. */
void ngx_http_ffi_registry_add(ngx_http_ffi_entry_t *e,
    ngx_http_ffi_runtime_t *rt, ngx_http_ffi_load_t *load, void *library);

/*
 * Where rt is e's next, it is its runtime from now on; returns the one that
 * was.  Else NULL.
 */
ngx_http_ffi_runtime_t *ngx_http_ffi_registry_replace(ngx_http_ffi_entry_t *e,
    ngx_http_ffi_runtime_t *rt, ngx_http_ffi_load_t *load, void *library);

/* rt is of e no more; the id of its runtime is never used again. */
void ngx_http_ffi_registry_remove(ngx_http_ffi_entry_t *e,
    ngx_http_ffi_runtime_t *rt);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_REGISTRY_H_INCLUDED_ */
