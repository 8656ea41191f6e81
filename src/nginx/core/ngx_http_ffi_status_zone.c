/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>

#include <signal.h>

#include "ngx_http_ffi_status_zone.h"


/* another one is not understood by who reads this one */
#define NGX_HTTP_FFI_STATUS_LAYOUT                                            \
    (((size_t) 1 << 32) + (sizeof(ngx_http_ffi_status_sh_t) << 12)            \
     + sizeof(ngx_http_ffi_block_t))

/* for what nginx's slab allocator has itself */
#define NGX_HTTP_FFI_STATUS_OVERHEAD  32768

/* blocks of a worker, at the least */
#define NGX_HTTP_FFI_STATUS_FEW       8


static ngx_int_t ngx_http_ffi_status_zone_init(ngx_shm_zone_t *zone,
    void *data);
static ngx_int_t ngx_http_ffi_status_take_slot(void);
static void ngx_http_ffi_status_retire(ngx_http_ffi_status_zone_t *z,
    uint32_t worker);
static ngx_http_ffi_block_t *ngx_http_ffi_status_find(
    ngx_http_ffi_block_t *chain, ngx_http_ffi_block_t *b);
static ngx_uint_t ngx_http_ffi_status_same(ngx_http_ffi_block_t *a,
    ngx_http_ffi_block_t *b);
static void ngx_http_ffi_status_name(ngx_http_ffi_block_t *b,
    ngx_str_t *runtime, ngx_str_t *method);
static ngx_http_ffi_block_t *ngx_http_ffi_status_new_block(
    ngx_http_ffi_status_zone_t *z, ngx_http_ffi_block_t *named);


static ngx_http_ffi_status_zone_t  *ngx_http_ffi_status_here;
static uint32_t                     ngx_http_ffi_status_slot;


ngx_shm_zone_t *
ngx_http_ffi_status_zone_add(ngx_conf_t *cf, ngx_str_t *name,
    ngx_str_t *size, void *tag)
{
    ssize_t                      bytes;
    ngx_shm_zone_t              *zone;
    ngx_http_ffi_status_zone_t  *z;

    bytes = ngx_parse_size(size);

    if (bytes == NGX_ERROR || bytes == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid zone size \"%V\"",
                           size);
        return NULL;
    }

    z = ngx_pcalloc(cf->pool, sizeof(ngx_http_ffi_status_zone_t));
    zone = ngx_shared_memory_add(cf, name, (size_t) bytes, tag);

    if (z == NULL || zone == NULL) {
        return NULL;
    }

    zone->init = ngx_http_ffi_status_zone_init;
    zone->data = z;

    return zone;
}


ngx_int_t
ngx_http_ffi_status_zone_check(ngx_conf_t *cf, ngx_shm_zone_t *zone,
    ngx_int_t workers)
{
    size_t  least;

    /* those that a reload has quit, and those that have ended */

    least = (size_t) (2 * ngx_max(workers, 1) + 1)
            * NGX_HTTP_FFI_STATUS_FEW * 1024
            + sizeof(ngx_http_ffi_status_sh_t) + NGX_HTTP_FFI_STATUS_OVERHEAD;

    if (zone->shm.size >= least) {
        return NGX_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "ffi_status_zone \"%V\" of %uz bytes is too small for "
                       "%i workers: it takes %uzk at the least, 1m is a good "
                       "start", &zone->shm.name, zone->shm.size,
                       ngx_max(workers, 1), (least + 1023) / 1024);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_ffi_status_zone_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_http_ffi_status_sh_t    *sh;
    ngx_http_ffi_status_zone_t  *z;

    z = zone->data;
    z->pool = (ngx_slab_pool_t *) zone->shm.addr;

    if (data || zone->shm.exists) {
        sh = z->pool->data;

        if (sh->layout != NGX_HTTP_FFI_STATUS_LAYOUT) {
            ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                          "ffi_status_zone \"%V\" is of another version of "
                          "this module: give it another name or size, or "
                          "restart nginx", &zone->shm.name);
            return NGX_ERROR;
        }

    } else {
        sh = ngx_slab_calloc(z->pool, sizeof(ngx_http_ffi_status_sh_t));
        if (sh == NULL) {
            return NGX_ERROR;
        }

        sh->layout = NGX_HTTP_FFI_STATUS_LAYOUT;
        ngx_queue_init(&sh->blocks);

        z->pool->data = sh;
        z->pool->log_nomem = 0;
    }

    z->sh = sh;
    z->generation = ++sh->generation;

    return NGX_OK;
}


void
ngx_http_ffi_status_attach(ngx_shm_zone_t *zone)
{
    ngx_int_t                    rc;
    ngx_http_ffi_status_zone_t  *z;

    if (zone == NULL) {
        return;
    }

    z = zone->data;
    ngx_http_ffi_status_here = z;

    ngx_shmtx_lock(&z->pool->mutex);

    ngx_http_ffi_status_bury(z);
    rc = ngx_http_ffi_status_take_slot();

    ngx_shmtx_unlock(&z->pool->mutex);

    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "FFI018: ffi: "
                      "%d workers live, and ffi_status_zone \"%V\" has "
                      "no place for another: it counts nothing",
                      NGX_HTTP_FFI_STATUS_WORKERS, &zone->shm.name);
        ngx_http_ffi_status_here = NULL;
    }
}


/* locked */
static ngx_int_t
ngx_http_ffi_status_take_slot(void)
{
    uint32_t                       i, found;
    ngx_http_ffi_status_zone_t    *z;
    ngx_http_ffi_status_worker_t  *w;

    z = ngx_http_ffi_status_here;
    found = NGX_HTTP_FFI_STATUS_NOBODY;

    for (i = 0; i < NGX_HTTP_FFI_STATUS_WORKERS; i++) {
        w = &z->sh->workers[i];

        if (w->used
            && w->generation == z->generation
            && w->worker == ngx_worker)
        {
            /* the master starts no other before that has ended */

            z->sh->restarts++;
            ngx_http_ffi_status_retire(z, i);
            found = i;
            break;
        }

        if (w->pid == 0
            && (found == NGX_HTTP_FFI_STATUS_NOBODY
                || (z->sh->workers[found].used && !w->used)))
        {
            found = i;
        }
    }

    if (found == NGX_HTTP_FFI_STATUS_NOBODY) {
        return NGX_ERROR;
    }

    w = &z->sh->workers[found];
    ngx_memzero((void *) w, sizeof(ngx_http_ffi_status_worker_t));

    w->pid = ngx_pid;
    w->worker = ngx_worker;
    w->generation = z->generation;
    w->started = ngx_time();
    w->used = 1;

    ngx_http_ffi_status_slot = found;

    return NGX_OK;
}


void
ngx_http_ffi_status_detach(void)
{
    ngx_http_ffi_status_zone_t  *z;

    z = ngx_http_ffi_status_here;

    if (z == NULL) {
        return;
    }

    ngx_shmtx_lock(&z->pool->mutex);
    ngx_http_ffi_status_retire(z, ngx_http_ffi_status_slot);
    ngx_shmtx_unlock(&z->pool->mutex);

    ngx_http_ffi_status_here = NULL;
}


ngx_http_ffi_status_zone_t *
ngx_http_ffi_status_zone(void)
{
    return ngx_http_ffi_status_here;
}


ngx_http_ffi_status_worker_t *
ngx_http_ffi_status_worker(void)
{
    if (ngx_http_ffi_status_here == NULL) {
        return NULL;
    }

    return &ngx_http_ffi_status_here->sh->workers[ngx_http_ffi_status_slot];
}


void
ngx_http_ffi_status_replaced(ngx_uint_t rss)
{
    ngx_http_ffi_status_zone_t  *z;

    z = ngx_http_ffi_status_here;

    if (z) {
        ngx_shmtx_lock(&z->pool->mutex);
        z->sh->replaced[rss]++;
        ngx_shmtx_unlock(&z->pool->mutex);
    }
}


void
ngx_http_ffi_status_bury(ngx_http_ffi_status_zone_t *z)
{
    uint32_t   i;
    ngx_pid_t  pid;

    for (i = 0; i < NGX_HTTP_FFI_STATUS_WORKERS; i++) {
        pid = z->sh->workers[i].pid;

        if (pid && kill(pid, 0) == -1 && ngx_errno == NGX_ESRCH) {
            ngx_http_ffi_status_retire(z, i);
        }
    }
}


/* locked: what the worker in a slot has counted is nobody's */
static void
ngx_http_ffi_status_retire(ngx_http_ffi_status_zone_t *z, uint32_t worker)
{
    ngx_queue_t           *q, *next;
    ngx_http_ffi_block_t  *b, *sum, **chain;

    if (z->sh->workers[worker].pid == 0) {
        return;
    }

    for (q = ngx_queue_head(&z->sh->blocks);
         q != ngx_queue_sentinel(&z->sh->blocks);
         q = next)
    {
        next = ngx_queue_next(q);
        b = ngx_queue_data(q, ngx_http_ffi_block_t, queue);

        if (b->worker != worker) {
            continue;
        }

        chain = &z->sh->nobodys[b->hash % NGX_HTTP_FFI_STATUS_CHAINS];
        sum = ngx_http_ffi_status_find(*chain, b);

        if (sum == NULL) {
            b->worker = NGX_HTTP_FFI_STATUS_NOBODY;
            b->next = *chain;
            *chain = b;

            ngx_http_ffi_set(&b->counts.in_flight, 0);
            ngx_http_ffi_set(&b->counts.queued, 0);
            continue;
        }

        ngx_http_ffi_status_merge(&sum->counts, &b->counts);

        ngx_queue_remove(q);
        z->sh->nblocks--;
        ngx_slab_free_locked(z->pool, b);
    }

    z->sh->workers[worker].pid = 0;
}


static ngx_http_ffi_block_t *
ngx_http_ffi_status_find(ngx_http_ffi_block_t *chain, ngx_http_ffi_block_t *b)
{
    while (chain && !ngx_http_ffi_status_same(chain, b)) {
        chain = chain->next;
    }

    return chain;
}


static ngx_uint_t
ngx_http_ffi_status_same(ngx_http_ffi_block_t *a, ngx_http_ffi_block_t *b)
{
    return a->hash == b->hash
           && a->runtime_len == b->runtime_len
           && a->method_len == b->method_len
           && ngx_memcmp(a->runtime, b->runtime, b->runtime_len) == 0
           && ngx_memcmp(a->method, b->method, b->method_len) == 0;
}


ngx_http_ffi_block_t *
ngx_http_ffi_status_block(ngx_str_t *runtime, ngx_str_t *method)
{
    ngx_http_ffi_block_t        *b, named;
    ngx_http_ffi_status_zone_t  *z;

    z = ngx_http_ffi_status_here;

    if (z == NULL) {
        return NULL;
    }

    ngx_http_ffi_status_name(&named, runtime, method);

    ngx_shmtx_lock(&z->pool->mutex);

    b = ngx_http_ffi_status_new_block(z, &named);

    if (b) {
        b->worker = ngx_http_ffi_status_slot;
        ngx_http_ffi_status_name(b, runtime, method);

    } else {
        ngx_http_ffi_add(&z->sh->full, 1);
    }

    ngx_shmtx_unlock(&z->pool->mutex);

    return b;
}


static void
ngx_http_ffi_status_name(ngx_http_ffi_block_t *b, ngx_str_t *runtime,
    ngx_str_t *method)
{
    b->runtime_len = (uint16_t) ngx_http_ffi_status_keep(
                         b->runtime, sizeof(b->runtime), runtime);
    b->method_len = (uint16_t) ngx_http_ffi_status_keep(
                        b->method, sizeof(b->method), method);
    b->hash = (uint32_t) (ngx_murmur_hash2(b->runtime, b->runtime_len) * 31
                          + ngx_murmur_hash2(b->method, b->method_len));
}


/*
 * Locked.  Names bound the work of who shows them, not only the memory: they
 * stay, whether somebody has a block of that name still or not.
 */
static ngx_http_ffi_block_t *
ngx_http_ffi_status_new_block(ngx_http_ffi_status_zone_t *z,
    ngx_http_ffi_block_t *named)
{
    ngx_uint_t             known;
    ngx_queue_t           *q;
    ngx_http_ffi_block_t  *b;

    known = 0;

    for (q = ngx_queue_head(&z->sh->blocks);
         q != ngx_queue_sentinel(&z->sh->blocks) && !known;
         q = ngx_queue_next(q))
    {
        known = ngx_http_ffi_status_same(
                    ngx_queue_data(q, ngx_http_ffi_block_t, queue), named);
    }

    if (!known && z->sh->nnames == NGX_HTTP_FFI_STATUS_NAMES) {
        return NULL;
    }

    b = ngx_slab_calloc_locked(z->pool, sizeof(ngx_http_ffi_block_t));

    if (b) {
        ngx_queue_insert_tail(&z->sh->blocks, &b->queue);
        z->sh->nblocks++;
        z->sh->nnames += !known;
    }

    return b;
}


size_t
ngx_http_ffi_status_keep(u_char *dst, size_t room, ngx_str_t *src)
{
    size_t     n, len;
    u_char    *p, *last, *from;
    uint32_t   c;

    p = src->data;
    last = p + src->len;
    n = 0;

    while (p < last) {
        from = p;
        c = *p < 0x80 ? *p++ : ngx_utf8_decode(&p, last - p);

        if (c > 0x10ffff
            || (c >= 0xd800 && c < 0xe000)
            || c == 0x7f
            || (c < ' ' && c != '\n' && c != '\t'))
        {
            p = from + 1;
            from = (u_char *) "?";
            len = 1;

        } else {
            len = (size_t) (p - from);
        }

        if (len > room - n) {
            break;
        }

        ngx_memcpy(&dst[n], from, len);
        n += len;
    }

    return n;
}
