/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>

#include "clock.h"
#include "ngx_http_ffi_status_block.h"


static void ngx_http_ffi_status_observe(ngx_http_ffi_histogram_t *h,
    int64_t us);
static void ngx_http_ffi_status_merge_histogram(ngx_http_ffi_histogram_t *to,
    ngx_http_ffi_histogram_t *from);


void  (*ngx_http_ffi_status_failed)(bridge_task_t *t);

const uint32_t  ngx_http_ffi_status_bounds[NGX_HTTP_FFI_STATUS_BOUNDS] = {
    10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000,
    200000, 500000, 1000000, 2000000, 5000000, 10000000, 20000000, 50000000,
    100000000
};


void
ngx_http_ffi_status_begin(bridge_task_t *t, ngx_http_ffi_block_t *b)
{
    int  len;

    if (b == NULL) {
        return;
    }

    t->account = b;

    if (t->put_at == 0) {
        t->put_at = bridge_now_us();
    }

    ngx_http_ffi_add(&b->counts.in_flight, 1);

    if (!atomic_load_explicit(&t->web, memory_order_relaxed)) {
        len = atomic_load_explicit(&t->req_len, memory_order_relaxed);
        ngx_http_ffi_add(&b->counts.bytes_in, (uint64_t) ngx_max(len, 0));
    }
}


void
ngx_http_ffi_status_up(bridge_task_t *t, int64_t *now)
{
    ngx_http_ffi_block_t  *b;

    b = t->account;

    if (b == NULL) {
        return;
    }

    if (*now == 0) {
        *now = bridge_now_us();
    }

    if (t->taken_at) {
        ngx_http_ffi_status_observe(&b->counts.waiting,
                                    t->taken_at - t->put_at);
    }

    if (!t->rejected) {
        ngx_http_ffi_status_observe(&b->counts.running,
                                    *now - t->taken_at);
        ngx_http_ffi_add(&b->counts.bytes_out, t->rsp ? t->rsp_len : 0);
    }

    if (!t->settled) {
        ngx_http_ffi_status_observe(&b->counts.total, *now - t->put_at);
        t->put_at = 0;
    }
}


void
ngx_http_ffi_status_settle(bridge_task_t *t, ngx_http_ffi_outcome_e outcome)
{
    ngx_http_ffi_block_t  *b;

    b = t->account;

    if (b == NULL || t->settled) {
        return;
    }

    t->settled = true;

    ngx_http_ffi_add(&b->counts.outcomes[outcome], 1);
    ngx_http_ffi_add(&b->counts.in_flight, (uint64_t) -1);

    if (t->put_at) {
        ngx_http_ffi_status_observe(&b->counts.total,
                                    bridge_now_us() - t->put_at);

    } else if (outcome == NGX_HTTP_FFI_CALL_ERROR
               && ngx_http_ffi_status_failed)
    {
        ngx_http_ffi_status_failed(t);
    }
}


void
ngx_http_ffi_status_unsettled(bridge_task_t *t)
{
    ngx_http_ffi_status_settle(t, NGX_HTTP_FFI_CALL_GONE);
}


static void
ngx_http_ffi_status_observe(ngx_http_ffi_histogram_t *h, int64_t us)
{
    int         log2;
    uint64_t    n;
    ngx_uint_t  i;

    n = (uint64_t) ngx_max(us, 0);

    /* three bounds a decade: the first that may be meant, or one below it */

    log2 = 63 - __builtin_clzll(n | 1);
    i = (ngx_uint_t) ngx_max((log2 * 231) / 256 - 4, 0);

    while (i < NGX_HTTP_FFI_STATUS_BOUNDS
           && n > ngx_http_ffi_status_bounds[i])
    {
        i++;
    }

    ngx_http_ffi_add(&h->buckets[ngx_min(i, NGX_HTTP_FFI_STATUS_BOUNDS)], 1);
    ngx_http_ffi_add(&h->us, n);
}


void
ngx_http_ffi_status_merge(ngx_http_ffi_counts_t *to,
    ngx_http_ffi_counts_t *from)
{
    ngx_uint_t  i;
    uint64_t    high;

    for (i = 0; i < NGX_HTTP_FFI_NOUTCOMES; i++) {
        ngx_http_ffi_add(&to->outcomes[i],
                         ngx_http_ffi_get(&from->outcomes[i]));
    }

    ngx_http_ffi_add(&to->bytes_in, ngx_http_ffi_get(&from->bytes_in));
    ngx_http_ffi_add(&to->bytes_out, ngx_http_ffi_get(&from->bytes_out));
    ngx_http_ffi_add(&to->reloads, ngx_http_ffi_get(&from->reloads));
    ngx_http_ffi_add(&to->locks, ngx_http_ffi_get(&from->locks));
    ngx_http_ffi_add(&to->lock_us, ngx_http_ffi_get(&from->lock_us));

    high = ngx_http_ffi_get(&from->high_water);
    if (high > ngx_http_ffi_get(&to->high_water)) {
        ngx_http_ffi_set(&to->high_water, high);
    }

    ngx_http_ffi_status_merge_histogram(&to->waiting, &from->waiting);
    ngx_http_ffi_status_merge_histogram(&to->running, &from->running);
    ngx_http_ffi_status_merge_histogram(&to->total, &from->total);
}


static void
ngx_http_ffi_status_merge_histogram(ngx_http_ffi_histogram_t *to,
    ngx_http_ffi_histogram_t *from)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_FFI_STATUS_BUCKETS; i++) {
        ngx_http_ffi_add(&to->buckets[i],
                         ngx_http_ffi_get(&from->buckets[i]));
    }

    ngx_http_ffi_add(&to->us, ngx_http_ffi_get(&from->us));
}
