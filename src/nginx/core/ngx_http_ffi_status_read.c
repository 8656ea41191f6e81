/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_ffi_status_account.h"
#include "ngx_http_ffi_status_read.h"
#include "ngx_http_ffi_status_zone.h"


/* blocks that others make before all are copied */
#define NGX_HTTP_FFI_STATUS_SPARE  16


static ngx_uint_t ngx_http_ffi_status_copy(ngx_http_ffi_block_t *blocks,
    ngx_uint_t max);
static ngx_int_t ngx_http_ffi_status_copy_workers(
    ngx_http_ffi_status_t *status, ngx_pool_t *pool);
static ngx_int_t ngx_http_ffi_status_copy_records(
    ngx_http_ffi_status_t *status, ngx_pool_t *pool);
static ngx_int_t ngx_http_ffi_status_add_up(ngx_http_ffi_status_t *status,
    ngx_pool_t *pool, ngx_http_ffi_block_t *blocks, ngx_uint_t n);
static int ngx_libc_cdecl ngx_http_ffi_status_order(const void *one,
    const void *two);
static ngx_int_t ngx_http_ffi_status_names(u_char *one, size_t one_len,
    u_char *two, size_t two_len);
static ngx_http_ffi_status_row_t *ngx_http_ffi_status_new_row(
    ngx_array_t *rows, ngx_pool_t *pool, ngx_http_ffi_block_t *b);
static void ngx_http_ffi_status_drop_empty(ngx_array_t *rows);
static void ngx_http_ffi_status_count_in(ngx_http_ffi_counts_t *to,
    ngx_http_ffi_counts_t *from);
static ngx_uint_t ngx_http_ffi_status_is_empty(ngx_http_ffi_counts_t *c);


const char *const  ngx_http_ffi_outcomes[NGX_HTTP_FFI_NOUTCOMES] = {
    "ok", "error", "timeout", "refused", "gone"
};


ngx_int_t
ngx_http_ffi_status_read(ngx_pool_t *pool, ngx_http_ffi_status_t *status)
{
    ngx_int_t                    rc;
    ngx_uint_t                   n, max;
    ngx_http_ffi_block_t        *blocks;
    ngx_http_ffi_status_zone_t  *z;

    z = ngx_http_ffi_status_zone();

    if (z == NULL) {
        return NGX_DECLINED;
    }

    ngx_http_ffi_status_look();

    ngx_memzero(status, sizeof(ngx_http_ffi_status_t));

    max = z->sh->nblocks + NGX_HTTP_FFI_STATUS_SPARE;

    /* other workers wait for the mutex at most while this is copied */

    blocks = ngx_palloc(pool, max * sizeof(ngx_http_ffi_block_t));
    if (blocks == NULL
        || ngx_array_init(&status->workers, pool, NGX_HTTP_FFI_STATUS_WORKERS,
                          sizeof(ngx_http_ffi_status_process_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_shmtx_lock(&z->pool->mutex);

    ngx_http_ffi_status_bury(z);

    n = ngx_http_ffi_status_copy(blocks, max);
    rc = ngx_http_ffi_status_copy_workers(status, pool);

    if (rc == NGX_OK) {
        rc = ngx_http_ffi_status_copy_records(status, pool);
    }

    status->generation = z->sh->generation;
    status->restarts = z->sh->restarts;
    status->replaced[0] = z->sh->replaced[0];
    status->replaced[1] = z->sh->replaced[1];
    status->full = ngx_http_ffi_get(&z->sh->full);
    status->size = (size_t) (z->pool->end - (u_char *) z->pool);
    status->free = z->pool->pfree * ngx_pagesize;

    ngx_shmtx_unlock(&z->pool->mutex);

    return rc == NGX_OK ? ngx_http_ffi_status_add_up(status, pool, blocks, n)
                        : NGX_ERROR;
}


static ngx_uint_t
ngx_http_ffi_status_copy(ngx_http_ffi_block_t *blocks, ngx_uint_t max)
{
    ngx_uint_t                   n;
    ngx_queue_t                 *q;
    ngx_http_ffi_status_zone_t  *z;

    z = ngx_http_ffi_status_zone();
    n = 0;

    for (q = ngx_queue_head(&z->sh->blocks);
         q != ngx_queue_sentinel(&z->sh->blocks) && n < max;
         q = ngx_queue_next(q))
    {
        ngx_memcpy((void *) &blocks[n++],
                   ngx_queue_data(q, ngx_http_ffi_block_t, queue),
                   sizeof(ngx_http_ffi_block_t));
    }

    return n;
}


static ngx_int_t
ngx_http_ffi_status_copy_workers(ngx_http_ffi_status_t *status,
    ngx_pool_t *pool)
{
    ngx_uint_t                      i;
    ngx_http_ffi_status_worker_t   *w;
    ngx_http_ffi_status_process_t  *p;

    for (i = 0; i < NGX_HTTP_FFI_STATUS_WORKERS; i++) {
        w = &ngx_http_ffi_status_zone()->sh->workers[i];

        if (w->pid == 0) {
            continue;
        }

        p = ngx_array_push(&status->workers);
        if (p == NULL) {
            return NGX_ERROR;
        }

        p->pid = w->pid;
        p->worker = w->worker;
        p->generation = w->generation;
        p->started = w->started;
        p->threads = ngx_http_ffi_get(&w->threads);
        p->resident = ngx_http_ffi_get(&w->resident);
        ngx_str_null(&p->about);

        if (w->named) {
            p->about.len = ngx_strlen(w->about);
            p->about.data = ngx_pnalloc(pool, p->about.len);

            if (p->about.data == NULL) {
                return NGX_ERROR;
            }

            ngx_memcpy(p->about.data, w->about, p->about.len);
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ffi_status_copy_records(ngx_http_ffi_status_t *status,
    ngx_pool_t *pool)
{
    ngx_uint_t                     i, kind;
    ngx_http_ffi_status_ring_t    *ring;
    ngx_http_ffi_status_record_t  *rec, *copy;

    for (kind = 0; kind < NGX_HTTP_FFI_NRECORDS; kind++) {
        ring = &ngx_http_ffi_status_zone()->sh->records[kind];

        if (ngx_array_init(&status->records[kind], pool, 1,
                           sizeof(ngx_http_ffi_status_record_t))
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        for (i = 1; i <= NGX_HTTP_FFI_STATUS_RECORDS; i++) {
            rec = ring->ring[(ring->next - i) % NGX_HTTP_FFI_STATUS_RECORDS];

            if (rec == NULL || rec->pid == 0) {
                continue;
            }

            copy = ngx_array_push(&status->records[kind]);
            if (copy == NULL) {
                return NGX_ERROR;
            }

            *copy = *rec;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ffi_status_add_up(ngx_http_ffi_status_t *status, ngx_pool_t *pool,
    ngx_http_ffi_block_t *blocks, ngx_uint_t n)
{
    ngx_uint_t                  i;
    ngx_http_ffi_block_t       *b, *last;
    ngx_http_ffi_status_row_t  *row, *sum;

    qsort(blocks, n, sizeof(ngx_http_ffi_block_t),
              ngx_http_ffi_status_order);

    if (ngx_array_init(&status->methods, pool, n + 1,
                       sizeof(ngx_http_ffi_status_row_t))
        != NGX_OK
        || ngx_array_init(&status->runtimes, pool, 16,
                          sizeof(ngx_http_ffi_status_row_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    last = NULL;
    row = NULL;
    sum = NULL;

    for (i = 0; i < n; i++) {
        b = &blocks[i];

        if (last == NULL
            || ngx_http_ffi_status_names(last->runtime, last->runtime_len,
                                         b->runtime, b->runtime_len)
               != 0)
        {
            sum = ngx_http_ffi_status_new_row(&status->runtimes, pool, b);
            row = NULL;
        }

        if (sum == NULL) {
            return NGX_ERROR;
        }

        last = b;
        ngx_http_ffi_status_count_in(sum->counts, &b->counts);

        if (ngx_http_ffi_status_is_empty(&b->counts)) {
            continue;
        }

        if (row
            && ngx_http_ffi_status_names(row->method.data, row->method.len,
                                         b->method, b->method_len)
               == 0)
        {
            ngx_http_ffi_status_count_in(row->counts, &b->counts);
            continue;
        }

        row = ngx_array_push(&status->methods);
        if (row == NULL) {
            return NGX_ERROR;
        }

        row->runtime = sum->runtime;
        row->method.data = b->method;
        row->method.len = b->method_len;
        row->counts = &b->counts;
    }

    ngx_http_ffi_status_drop_empty(&status->runtimes);

    return NGX_OK;
}


static void
ngx_http_ffi_status_drop_empty(ngx_array_t *rows)
{
    ngx_uint_t                  i, n;
    ngx_http_ffi_status_row_t  *row;

    row = rows->elts;

    for (i = 0, n = 0; i < rows->nelts; i++) {
        if (!ngx_http_ffi_status_is_empty(row[i].counts)
            || ngx_http_ffi_get(&row[i].counts->reloads))
        {
            row[n++] = row[i];
        }
    }

    rows->nelts = n;
}


static int ngx_libc_cdecl
ngx_http_ffi_status_order(const void *one, const void *two)
{
    ngx_int_t              rc;
    ngx_http_ffi_block_t  *a, *b;

    a = (ngx_http_ffi_block_t *) one;
    b = (ngx_http_ffi_block_t *) two;

    rc = ngx_http_ffi_status_names(a->runtime, a->runtime_len,
                                   b->runtime, b->runtime_len);
    if (rc == 0) {
        rc = ngx_http_ffi_status_names(a->method, a->method_len,
                                       b->method, b->method_len);
    }

    return (int) rc;
}


static ngx_int_t
ngx_http_ffi_status_names(u_char *one, size_t one_len, u_char *two,
    size_t two_len)
{
    return ngx_memn2cmp(one, two, one_len, two_len);
}


/* NULL where memory ran out */
static ngx_http_ffi_status_row_t *
ngx_http_ffi_status_new_row(ngx_array_t *rows, ngx_pool_t *pool,
    ngx_http_ffi_block_t *b)
{
    ngx_http_ffi_counts_t      *counts;
    ngx_http_ffi_status_row_t  *row;

    counts = ngx_pcalloc(pool, sizeof(ngx_http_ffi_counts_t));
    row = ngx_array_push(rows);

    if (counts == NULL || row == NULL) {
        return NULL;
    }

    row->runtime.data = b->runtime;
    row->runtime.len = b->runtime_len;
    ngx_str_null(&row->method);
    row->counts = counts;

    return row;
}


static void
ngx_http_ffi_status_count_in(ngx_http_ffi_counts_t *to,
    ngx_http_ffi_counts_t *from)
{
    ngx_http_ffi_status_merge(to, from);

    ngx_http_ffi_add(&to->in_flight, ngx_http_ffi_get(&from->in_flight));
    ngx_http_ffi_add(&to->queued, ngx_http_ffi_get(&from->queued));
}


static ngx_uint_t
ngx_http_ffi_status_is_empty(ngx_http_ffi_counts_t *c)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_FFI_NOUTCOMES; i++) {
        if (ngx_http_ffi_get(&c->outcomes[i])) {
            return 0;
        }
    }

    return ngx_http_ffi_get(&c->in_flight) == 0;
}


uint64_t
ngx_http_ffi_status_count(ngx_http_ffi_histogram_t *h)
{
    uint64_t    n;
    ngx_uint_t  i;

    n = 0;

    for (i = 0; i < NGX_HTTP_FFI_STATUS_BUCKETS; i++) {
        n += ngx_http_ffi_get(&h->buckets[i]);
    }

    return n;
}
