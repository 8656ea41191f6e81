/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_ffi_status_json.h"


static void ngx_http_ffi_status_json_workers(ngx_http_ffi_status_out_t *out,
    ngx_array_t *workers);
static void ngx_http_ffi_status_json_bounds(ngx_http_ffi_status_out_t *out);
static void ngx_http_ffi_status_json_runtimes(ngx_http_ffi_status_out_t *out,
    ngx_http_ffi_status_t *status);
static void ngx_http_ffi_status_json_records(ngx_http_ffi_status_out_t *out,
    const char *name, ngx_array_t *records);
static void ngx_http_ffi_status_json_counts(ngx_http_ffi_status_out_t *out,
    ngx_http_ffi_counts_t *c);
static void ngx_http_ffi_status_json_times(ngx_http_ffi_status_out_t *out,
    const char *name, ngx_http_ffi_histogram_t *h);


void
ngx_http_ffi_status_json(ngx_http_ffi_status_out_t *out,
    ngx_http_ffi_status_t *status, ngx_uint_t full)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    ngx_http_ffi_status_printf(out, "{\"time\":%T.%03M,\"reloads\":%ui,"
                               "\"restarts\":%uL,\"replaced\":%uL,"
                               "\"zone\":{\"size\":%uz,"
                               "\"free\":%uz,\"full\":%uL},",
                               tp->sec, tp->msec, status->generation - 1,
                               status->restarts,
                               status->replaced[0] + status->replaced[1],
                               status->size, status->free,
                               status->full);

    ngx_http_ffi_status_json_workers(out, &status->workers);
    ngx_http_ffi_status_json_bounds(out);
    ngx_http_ffi_status_json_runtimes(out, status);

    if (full) {
        ngx_http_ffi_status_json_records(out, "slow",
                               &status->records[NGX_HTTP_FFI_RECORD_SLOW]);
        ngx_http_ffi_status_json_records(out, "errors",
                               &status->records[NGX_HTTP_FFI_RECORD_ERROR]);
    }

    ngx_http_ffi_status_printf(out, "}\n");
}


static void
ngx_http_ffi_status_json_workers(ngx_http_ffi_status_out_t *out,
    ngx_array_t *workers)
{
    ngx_uint_t                      i;
    ngx_http_ffi_status_process_t  *p;

    p = workers->elts;

    ngx_http_ffi_status_printf(out, "\"workers\":[");

    for (i = 0; i < workers->nelts; i++) {
        ngx_http_ffi_status_printf(out, "%s{\"worker\":%ui,\"pid\":%P,"
                                   "\"generation\":%ui,\"started\":%T,"
                                   "\"threads\":%uL,\"resident_bytes\":%uL,"
                                   "\"runtime\":",
                                   i ? "," : "", p[i].worker, p[i].pid,
                                   p[i].generation, p[i].started,
                                   p[i].threads, p[i].resident);
        ngx_http_ffi_status_quote(out, &p[i].about, 1);
        ngx_http_ffi_status_printf(out, "}");
    }

    ngx_http_ffi_status_printf(out, "],");
}


static void
ngx_http_ffi_status_json_bounds(ngx_http_ffi_status_out_t *out)
{
    ngx_uint_t  i;

    ngx_http_ffi_status_printf(out, "\"bounds\":[");

    for (i = 0; i < NGX_HTTP_FFI_STATUS_BOUNDS; i++) {
        ngx_http_ffi_status_printf(out, i ? "," : "");
        ngx_http_ffi_status_seconds(out, ngx_http_ffi_status_bounds[i]);
    }

    ngx_http_ffi_status_printf(out, "],");
}


static void
ngx_http_ffi_status_json_runtimes(ngx_http_ffi_status_out_t *out,
    ngx_http_ffi_status_t *status)
{
    ngx_uint_t                  i, first;
    ngx_http_ffi_status_row_t  *rt, *m, *last;

    rt = status->runtimes.elts;
    m = status->methods.elts;
    last = m + status->methods.nelts;

    ngx_http_ffi_status_printf(out, "\"runtimes\":[");

    for (i = 0; i < status->runtimes.nelts; i++) {
        ngx_http_ffi_status_printf(out, i ? ",{\"name\":" : "{\"name\":");
        ngx_http_ffi_status_quote(out, &rt[i].runtime, 1);

        ngx_http_ffi_status_json_counts(out, rt[i].counts);

        ngx_http_ffi_status_printf(out, ",\"queued\":%uL,\"queued_max\":%uL,"
                                   "\"reloads\":%uL,\"lock_wait\":"
                                   "{\"count\":%uL,\"sum\":",
                                   ngx_http_ffi_get(&rt[i].counts->queued),
                                   ngx_http_ffi_get(
                                       &rt[i].counts->high_water),
                                   ngx_http_ffi_get(&rt[i].counts->reloads),
                                   ngx_http_ffi_get(&rt[i].counts->locks));
        ngx_http_ffi_status_seconds(out,
                                   ngx_http_ffi_get(&rt[i].counts->lock_us));
        ngx_http_ffi_status_printf(out, "},\"methods\":[");

        /* they are in the same order */

        for (first = 1;
             m < last && m->runtime.data == rt[i].runtime.data;
             m++)
        {
            ngx_http_ffi_status_printf(out, first ? "{\"name\":"
                                                  : ",{\"name\":");
            ngx_http_ffi_status_quote(out, &m->method, 1);
            ngx_http_ffi_status_json_counts(out, m->counts);
            ngx_http_ffi_status_printf(out, "}");
            first = 0;
        }

        ngx_http_ffi_status_printf(out, "]}");
    }

    ngx_http_ffi_status_printf(out, "]");
}


static void
ngx_http_ffi_status_json_records(ngx_http_ffi_status_out_t *out,
    const char *name, ngx_array_t *records)
{
    ngx_str_t                      runtime, method, text;
    ngx_uint_t                     i;
    ngx_http_ffi_status_record_t  *rec;

    rec = records->elts;

    ngx_http_ffi_status_printf(out, ",\"%s\":[", name);

    for (i = 0; i < records->nelts; i++) {
        runtime.data = rec[i].runtime;
        runtime.len = rec[i].runtime_len;
        method.data = rec[i].method;
        method.len = rec[i].method_len;
        text.data = rec[i].text;
        text.len = rec[i].text_len;

        ngx_http_ffi_status_printf(out, "%s{\"time\":%T,\"pid\":%P,"
                                   "\"seconds\":", i ? "," : "",
                                   rec[i].time, rec[i].pid);
        ngx_http_ffi_status_seconds(out, rec[i].us);
        ngx_http_ffi_status_printf(out, ",\"runtime\":");
        ngx_http_ffi_status_quote(out, &runtime, 1);
        ngx_http_ffi_status_printf(out, ",\"method\":");
        ngx_http_ffi_status_quote(out, &method, 1);
        ngx_http_ffi_status_printf(out, ",\"text\":");
        ngx_http_ffi_status_quote(out, &text, 1);
        ngx_http_ffi_status_printf(out, "}");
    }

    ngx_http_ffi_status_printf(out, "]");
}


static void
ngx_http_ffi_status_json_counts(ngx_http_ffi_status_out_t *out,
    ngx_http_ffi_counts_t *c)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_FFI_NOUTCOMES; i++) {
        ngx_http_ffi_status_printf(out, ",\"%s\":%uL",
                                   ngx_http_ffi_outcomes[i],
                                   ngx_http_ffi_get(&c->outcomes[i]));
    }

    ngx_http_ffi_status_printf(out, ",\"in_flight\":%uL,\"request_bytes\":%uL,"
                               "\"response_bytes\":%uL",
                               ngx_http_ffi_get(&c->in_flight),
                               ngx_http_ffi_get(&c->bytes_in),
                               ngx_http_ffi_get(&c->bytes_out));

    ngx_http_ffi_status_json_times(out, "wait", &c->waiting);
    ngx_http_ffi_status_json_times(out, "run", &c->running);
    ngx_http_ffi_status_json_times(out, "duration", &c->total);
}


static void
ngx_http_ffi_status_json_times(ngx_http_ffi_status_out_t *out,
    const char *name, ngx_http_ffi_histogram_t *h)
{
    ngx_uint_t  i;

    ngx_http_ffi_status_printf(out, ",\"%s\":{\"count\":%uL,\"sum\":", name,
                               ngx_http_ffi_status_count(h));
    ngx_http_ffi_status_seconds(out, ngx_http_ffi_get(&h->us));
    ngx_http_ffi_status_printf(out, ",\"buckets\":[");

    for (i = 0; i < NGX_HTTP_FFI_STATUS_BUCKETS; i++) {
        ngx_http_ffi_status_printf(out, i ? ",%uL" : "%uL",
                                   ngx_http_ffi_get(&h->buckets[i]));
    }

    ngx_http_ffi_status_printf(out, "]}");
}
