/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>

#include "abi.h"
#include "clock.h"
#include "ngx_http_ffi_status_record.h"


/* errors of a worker in a second; further ones are only counted */
#define NGX_HTTP_FFI_STATUS_ERRORS  10


static ngx_http_ffi_status_record_t *ngx_http_ffi_status_next_record(
    ngx_http_ffi_status_zone_t *z, ngx_http_ffi_record_e kind);
static ngx_http_ffi_status_record_t *ngx_http_ffi_status_find_record(
    ngx_http_ffi_status_zone_t *z, uint64_t task);
static void ngx_http_ffi_status_set_record(ngx_http_ffi_status_record_t *rec,
    bridge_task_t *t, uint64_t us);
static void ngx_http_ffi_status_set_text(ngx_http_ffi_status_record_t *rec,
    ngx_str_t *text);
static void ngx_http_ffi_slow_log(ngx_http_ffi_status_record_t *rec);


static time_t      ngx_http_ffi_errors_at;
static ngx_uint_t  ngx_http_ffi_nerrors;


void
ngx_http_ffi_status_record(bridge_task_t *t, ngx_http_ffi_record_e kind,
    uint64_t us, ngx_str_t *text)
{
    ngx_http_ffi_status_zone_t    *z;
    ngx_http_ffi_status_record_t  *rec;

    z = ngx_http_ffi_status_zone();

    if (z == NULL || t->account == NULL) {
        return;
    }

    ngx_shmtx_lock(&z->pool->mutex);

    rec = ngx_http_ffi_status_next_record(z, kind);

    if (rec) {
        ngx_http_ffi_status_set_record(rec, t, us);
        ngx_http_ffi_status_set_text(rec, text);
    }

    ngx_shmtx_unlock(&z->pool->mutex);
}


static void
ngx_http_ffi_status_set_record(ngx_http_ffi_status_record_t *rec,
    bridge_task_t *t, uint64_t us)
{
    ngx_http_ffi_block_t  *b;

    b = t->account;

    rec->pid = ngx_pid;
    rec->task = bridge_task_handle(t);
    rec->time = ngx_time();
    rec->us = us;
    rec->runtime_len = b->runtime_len;
    rec->method_len = b->method_len;
    ngx_memcpy(rec->runtime, b->runtime, b->runtime_len);
    ngx_memcpy(rec->method, b->method, b->method_len);
}


/* locked; NULL where the zone has no room */
static ngx_http_ffi_status_record_t *
ngx_http_ffi_status_next_record(ngx_http_ffi_status_zone_t *z,
    ngx_http_ffi_record_e kind)
{
    ngx_uint_t                   i;
    ngx_http_ffi_status_ring_t  *ring;

    ring = &z->sh->records[kind];
    i = ring->next++ % NGX_HTTP_FFI_STATUS_RECORDS;

    if (ring->ring[i] == NULL) {
        ring->ring[i] = ngx_slab_calloc_locked(z->pool,
                                     sizeof(ngx_http_ffi_status_record_t));
    }

    return ring->ring[i];
}


/* the innermost frames of a stack are its last lines */
static void
ngx_http_ffi_status_set_text(ngx_http_ffi_status_record_t *rec,
    ngx_str_t *text)
{
    ngx_str_t  end;

    end = *text;

    if (end.len > sizeof(rec->text)) {
        end.data += end.len - sizeof(rec->text);
        end.len = sizeof(rec->text);
    }

    rec->text_len = (uint32_t) ngx_http_ffi_status_keep(rec->text,
                                                   sizeof(rec->text), &end);
}


void
ngx_http_ffi_slow_described(bridge_line_t *line)
{
    ngx_str_t                      text;
    bridge_task_t                 *t;
    ngx_http_ffi_status_zone_t    *z;
    ngx_http_ffi_status_record_t  *rec, copy;

    z = ngx_http_ffi_status_zone();

    if (z == NULL) {
        return;
    }

    text.data = (u_char *) line->text;
    text.len = line->len;

    while (text.len && text.data[text.len - 1] == '\n') {
        text.len--;
    }

    ngx_shmtx_lock(&z->pool->mutex);

    rec = ngx_http_ffi_status_find_record(z, line->task);

    if (rec) {
        ngx_http_ffi_status_set_text(rec, &text);
        copy = *rec;
    }

    ngx_shmtx_unlock(&z->pool->mutex);

    if (rec == NULL) {

        /* it had no room, or others have come since */

        t = bridge_task_find(bridge_host(), line->task);

        if (t == NULL || t->account == NULL || t->put_at == 0) {
            return;
        }

        ngx_http_ffi_status_set_record(&copy, t, (uint64_t)
                                       (bridge_now_us() - t->put_at));
        ngx_http_ffi_status_set_text(&copy, &text);
    }

    ngx_http_ffi_slow_log(&copy);
}


static ngx_http_ffi_status_record_t *
ngx_http_ffi_status_find_record(ngx_http_ffi_status_zone_t *z, uint64_t task)
{
    ngx_uint_t                     i;
    ngx_http_ffi_status_record_t  *rec;

    for (i = 0; i < NGX_HTTP_FFI_STATUS_RECORDS; i++) {
        rec = z->sh->records[NGX_HTTP_FFI_RECORD_SLOW].ring[i];

        if (rec && rec->pid == ngx_pid && rec->task == task) {
            return rec;
        }
    }

    return NULL;
}


/* with the innermost frame */
static void
ngx_http_ffi_slow_log(ngx_http_ffi_status_record_t *rec)
{
    u_char     *p, *last;
    ngx_str_t   runtime, method, where;

    runtime.data = rec->runtime;
    runtime.len = rec->runtime_len;
    method.data = rec->method;
    method.len = rec->method_len;

    last = rec->text + rec->text_len;
    where.data = rec->text;
    where.len = 0;

    for (p = rec->text; p < last; p++) {
        if (last - p > 8 && ngx_strncmp(p, "  File \"", 8) == 0) {
            where.data = p + 2;
        }
    }

    for (p = where.data; p < last && *p != '\n'; p++) {
        where.len++;
    }

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "FFI061: ffi: slow: "
                  "\"%V\" has worked on \"%V\" for %uL ms: %V",
                  &runtime, &method, rec->us / 1000, &where);
}


void
ngx_http_ffi_status_record_error(bridge_task_t *t)
{
    ngx_str_t  text;

    if (ngx_http_ffi_errors_at != ngx_time()) {
        ngx_http_ffi_errors_at = ngx_time();
        ngx_http_ffi_nerrors = 0;
    }

    if (ngx_http_ffi_nerrors++ >= NGX_HTTP_FFI_STATUS_ERRORS) {
        return;
    }

    text.data = (u_char *) t->rsp;
    text.len = t->rsp && t->rc ? t->rsp_len : 0;

    ngx_http_ffi_status_record(t, NGX_HTTP_FFI_RECORD_ERROR, 0, &text);
}
