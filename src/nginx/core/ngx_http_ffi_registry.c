/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_ffi_registry.h"


/* the slot of an id is its remainder */
static ngx_http_ffi_entry_t  ngx_http_ffi_entries[BRIDGE_MAX_QUEUES];
static ngx_uint_t            ngx_http_ffi_nentries;


ngx_http_ffi_entry_t *
ngx_http_ffi_registry_find(ngx_http_ffi_load_t *load, void *library)
{
    ngx_uint_t             i;
    ngx_http_ffi_load_t   *known;
    ngx_http_ffi_entry_t  *e;

    for (i = 0; i < ngx_http_ffi_nentries; i++) {

        e = &ngx_http_ffi_entries[i];
        if (e->runtime == NULL) {
            continue;
        }

        known = e->load;

        if (known->has_cfg != load->has_cfg
            || known->cfg.len != load->cfg.len
            || ngx_memcmp(known->cfg.data, load->cfg.data, load->cfg.len)
               != 0)
        {
            continue;
        }

        if (library ? e->library == library
                    : (known->lib.len == load->lib.len
                       && ngx_memcmp(known->lib.data, load->lib.data,
                                     load->lib.len)
                          == 0))
        {
            return e;
        }
    }

    return NULL;
}


ngx_http_ffi_entry_t *
ngx_http_ffi_registry_get(uint64_t id)
{
    ngx_http_ffi_entry_t  *e;

    e = &ngx_http_ffi_entries[id % BRIDGE_MAX_QUEUES];

    return e->id == id && e->runtime ? e : NULL;
}


ngx_http_ffi_entry_t *
ngx_http_ffi_registry_new(void)
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


void
ngx_http_ffi_registry_add(ngx_http_ffi_entry_t *e, ngx_http_ffi_runtime_t *rt,
    ngx_http_ffi_load_t *load, void *library)
{
    if (e->runtime) {
        e->next = rt;
        return;
    }

    e->runtime = rt;
    e->load = load;
    e->library = library;
}


ngx_http_ffi_runtime_t *
ngx_http_ffi_registry_replace(ngx_http_ffi_entry_t *e,
    ngx_http_ffi_runtime_t *rt, ngx_http_ffi_load_t *load, void *library)
{
    ngx_http_ffi_runtime_t  *old;

    if (e->next != rt) {
        return NULL;
    }

    old = e->runtime;

    e->next = NULL;
    e->runtime = rt;
    e->load = load;
    e->library = library;

    return old;
}


void
ngx_http_ffi_registry_remove(ngx_http_ffi_entry_t *e,
    ngx_http_ffi_runtime_t *rt)
{
    if (e->next == rt) {
        e->next = NULL;

    } else if (e->runtime == rt) {
        e->runtime = NULL;
        e->id += BRIDGE_MAX_QUEUES;
    }
}
