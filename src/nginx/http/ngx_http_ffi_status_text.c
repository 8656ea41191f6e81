/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>

#include <stddef.h>

#include "ngx_http_ffi_status_text.h"


typedef struct {
    const char  *name;
    const char  *type;
    const char  *help;
    size_t       offset;    /* in ngx_http_ffi_counts_t */
} ngx_http_ffi_status_metric_t;


typedef struct {
    ngx_http_ffi_status_out_t  *out;
    ngx_uint_t                  openmetrics;
} ngx_http_ffi_status_writer_t;


static void ngx_http_ffi_status_outcomes(ngx_http_ffi_status_writer_t *w,
    ngx_array_t *rows);
static void ngx_http_ffi_status_numbers(ngx_http_ffi_status_writer_t *w,
    ngx_array_t *rows, const ngx_http_ffi_status_metric_t *m);
static void ngx_http_ffi_status_histogram(ngx_http_ffi_status_writer_t *w,
    ngx_array_t *rows, const ngx_http_ffi_status_metric_t *m);
static void ngx_http_ffi_status_buckets(ngx_http_ffi_status_writer_t *w,
    ngx_http_ffi_status_row_t *row, const ngx_http_ffi_status_metric_t *m);
static void ngx_http_ffi_status_locks(ngx_http_ffi_status_writer_t *w,
    ngx_array_t *rows);
static void ngx_http_ffi_status_processes(ngx_http_ffi_status_writer_t *w,
    ngx_array_t *workers);
static void ngx_http_ffi_status_process(ngx_http_ffi_status_writer_t *w,
    ngx_array_t *workers, const char *name, const char *help, size_t offset);
static void ngx_http_ffi_status_single(ngx_http_ffi_status_writer_t *w,
    const char *name, const char *type, const char *help, uint64_t value);
static void ngx_http_ffi_status_family(ngx_http_ffi_status_writer_t *w,
    const char *name, const char *type, const char *help);
static void ngx_http_ffi_status_labels(ngx_http_ffi_status_writer_t *w,
    ngx_http_ffi_status_row_t *row);


#define METRIC(name, type, help, member)                                      \
    { name, type, help, offsetof(ngx_http_ffi_counts_t, member) }

static const ngx_http_ffi_status_metric_t  ngx_http_ffi_status_by_method[] = {
    METRIC("ffi_calls_in_flight", "gauge",
           "Calls, streams and web requests whose callers wait.", in_flight),
    METRIC("ffi_request_bytes_total", "counter",
           "Bytes of requests, of web requests those of bodies.", bytes_in),
    METRIC("ffi_response_bytes_total", "counter",
           "Bytes of answers, of web requests those of bodies.", bytes_out),
    { NULL, NULL, NULL, 0 }
};

static const ngx_http_ffi_status_metric_t  ngx_http_ffi_status_times[] = {
    METRIC("ffi_call_wait_seconds", "histogram",
           "Time in the queue until a thread of the runtime takes a call.",
           waiting),
    METRIC("ffi_call_run_seconds", "histogram",
           "Time from there until nginx has the answer.", running),
    METRIC("ffi_call_duration_seconds", "histogram",
           "Time from the start of a call until its answer or its end.",
           total),
    { NULL, NULL, NULL, 0 }
};

static const ngx_http_ffi_status_metric_t  ngx_http_ffi_status_by_runtime[] = {
    METRIC("ffi_queue_length", "gauge",
           "Calls that wait in queues, at most a second ago.", queued),
    METRIC("ffi_queue_length_max", "gauge",
           "Most calls that have waited in one worker's queue.", high_water),
    METRIC("ffi_runtime_reloads_total", "counter",
           "Reloads of runtimes that have begun.", reloads),
    { NULL, NULL, NULL, 0 }
};


void
ngx_http_ffi_status_text(ngx_http_ffi_status_out_t *out,
    ngx_http_ffi_status_t *status, ngx_uint_t openmetrics)
{
    ngx_http_ffi_status_writer_t         w;
    const ngx_http_ffi_status_metric_t  *m;

    w.out = out;
    w.openmetrics = openmetrics;

    ngx_http_ffi_status_outcomes(&w, &status->methods);

    for (m = ngx_http_ffi_status_by_method; m->name; m++) {
        ngx_http_ffi_status_numbers(&w, &status->methods, m);
    }

    for (m = ngx_http_ffi_status_times; m->name; m++) {
        ngx_http_ffi_status_histogram(&w, &status->methods, m);
    }

    for (m = ngx_http_ffi_status_by_runtime; m->name; m++) {
        ngx_http_ffi_status_numbers(&w, &status->runtimes, m);
    }

    ngx_http_ffi_status_locks(&w, &status->runtimes);
    ngx_http_ffi_status_processes(&w, &status->workers);

    ngx_http_ffi_status_single(&w, "ffi_config_reloads_total", "counter",
                               "Reloads of nginx.conf.",
                               status->generation - 1);
    ngx_http_ffi_status_single(&w, "ffi_worker_restarts_total", "counter",
                               "Workers that have ended, and not by a "
                               "reload, and have a successor.",
                               status->restarts);
    ngx_http_ffi_status_family(&w, "ffi_worker_replacements_total", "counter",
                               "Workers that a limit has replaced.");
    ngx_http_ffi_status_printf(out,
                               "ffi_worker_replacements_total"
                               "{limit=\"requests\"} %uL\n"
                               "ffi_worker_replacements_total"
                               "{limit=\"rss\"} %uL\n",
                               status->replaced[0], status->replaced[1]);
    ngx_http_ffi_status_single(&w, "ffi_status_zone_size_bytes", "gauge",
                               "Shared memory of ffi_status_zone.",
                               status->size);
    ngx_http_ffi_status_single(&w, "ffi_status_zone_free_bytes", "gauge",
                               "What is free of it.", status->free);
    ngx_http_ffi_status_single(&w, "ffi_status_zone_full_total", "counter",
                               "Names that it had no room for, and that "
                               "count as \"other\".", status->full);

    if (openmetrics) {
        ngx_http_ffi_status_printf(out, "# EOF\n");
    }
}


static void
ngx_http_ffi_status_outcomes(ngx_http_ffi_status_writer_t *w,
    ngx_array_t *rows)
{
    ngx_uint_t                  i, o;
    ngx_http_ffi_status_row_t  *row;

    ngx_http_ffi_status_family(w, "ffi_calls_total", "counter",
                               "Calls, streams and web requests that have "
                               "ended.");

    row = rows->elts;

    for (i = 0; i < rows->nelts; i++) {
        for (o = 0; o < NGX_HTTP_FFI_NOUTCOMES; o++) {
            ngx_http_ffi_status_printf(w->out, "ffi_calls_total{");
            ngx_http_ffi_status_labels(w, &row[i]);
            ngx_http_ffi_status_printf(w->out, ",outcome=\"%s\"} %uL\n",
                                       ngx_http_ffi_outcomes[o],
                                       ngx_http_ffi_get(
                                           &row[i].counts->outcomes[o]));
        }
    }
}


static void
ngx_http_ffi_status_numbers(ngx_http_ffi_status_writer_t *w,
    ngx_array_t *rows, const ngx_http_ffi_status_metric_t *m)
{
    ngx_uint_t                  i;
    ngx_http_ffi_counter_t     *counter;
    ngx_http_ffi_status_row_t  *row;

    ngx_http_ffi_status_family(w, m->name, m->type, m->help);

    row = rows->elts;

    for (i = 0; i < rows->nelts; i++) {
        counter = (ngx_http_ffi_counter_t *) ((u_char *) row[i].counts
                                              + m->offset);

        ngx_http_ffi_status_printf(w->out, "%s{", m->name);
        ngx_http_ffi_status_labels(w, &row[i]);
        ngx_http_ffi_status_printf(w->out, "} %uL\n",
                                   ngx_http_ffi_get(counter));
    }
}


static void
ngx_http_ffi_status_histogram(ngx_http_ffi_status_writer_t *w,
    ngx_array_t *rows, const ngx_http_ffi_status_metric_t *m)
{
    ngx_uint_t                  i;
    ngx_http_ffi_status_row_t  *row;

    ngx_http_ffi_status_family(w, m->name, m->type, m->help);

    row = rows->elts;

    for (i = 0; i < rows->nelts; i++) {
        ngx_http_ffi_status_buckets(w, &row[i], m);
    }
}


static void
ngx_http_ffi_status_buckets(ngx_http_ffi_status_writer_t *w,
    ngx_http_ffi_status_row_t *row, const ngx_http_ffi_status_metric_t *m)
{
    uint64_t                   n;
    ngx_uint_t                 i;
    ngx_http_ffi_histogram_t  *h;

    h = (ngx_http_ffi_histogram_t *) ((u_char *) row->counts + m->offset);
    n = 0;

    for (i = 0; i < NGX_HTTP_FFI_STATUS_BUCKETS; i++) {
        n += ngx_http_ffi_get(&h->buckets[i]);

        ngx_http_ffi_status_printf(w->out, "%s_bucket{", m->name);
        ngx_http_ffi_status_labels(w, row);
        ngx_http_ffi_status_printf(w->out, ",le=\"");

        if (i < NGX_HTTP_FFI_STATUS_BOUNDS) {
            ngx_http_ffi_status_seconds(w->out,
                                        ngx_http_ffi_status_bounds[i]);
        } else {
            ngx_http_ffi_status_printf(w->out, "+Inf");
        }

        ngx_http_ffi_status_printf(w->out, "\"} %uL\n", n);
    }

    ngx_http_ffi_status_printf(w->out, "%s_sum{", m->name);
    ngx_http_ffi_status_labels(w, row);
    ngx_http_ffi_status_printf(w->out, "} ");
    ngx_http_ffi_status_seconds(w->out, ngx_http_ffi_get(&h->us));
    ngx_http_ffi_status_printf(w->out, "\n%s_count{", m->name);
    ngx_http_ffi_status_labels(w, row);
    ngx_http_ffi_status_printf(w->out, "} %uL\n", n);
}


static void
ngx_http_ffi_status_locks(ngx_http_ffi_status_writer_t *w, ngx_array_t *rows)
{
    ngx_uint_t                  i;
    ngx_http_ffi_counts_t      *c;
    ngx_http_ffi_status_row_t  *row;

    ngx_http_ffi_status_family(w, "ffi_lock_wait_seconds", "summary",
                               "Time that threads of the runtime have waited "
                               "for its interpreter's lock, as the GIL, to "
                               "take calls.");

    row = rows->elts;

    for (i = 0; i < rows->nelts; i++) {
        c = row[i].counts;

        ngx_http_ffi_status_printf(w->out, "ffi_lock_wait_seconds_sum{");
        ngx_http_ffi_status_labels(w, &row[i]);
        ngx_http_ffi_status_printf(w->out, "} ");
        ngx_http_ffi_status_seconds(w->out, ngx_http_ffi_get(&c->lock_us));
        ngx_http_ffi_status_printf(w->out, "\nffi_lock_wait_seconds_count{");
        ngx_http_ffi_status_labels(w, &row[i]);
        ngx_http_ffi_status_printf(w->out, "} %uL\n",
                                   ngx_http_ffi_get(&c->locks));
    }
}


static void
ngx_http_ffi_status_processes(ngx_http_ffi_status_writer_t *w,
    ngx_array_t *workers)
{
    ngx_uint_t                      i;
    ngx_http_ffi_status_process_t  *p;

    p = workers->elts;

    ngx_http_ffi_status_family(w, "ffi_worker_info", "gauge",
                               "Workers that live.");

    for (i = 0; i < workers->nelts; i++) {
        ngx_http_ffi_status_printf(w->out, "ffi_worker_info{worker=\"%ui\","
                                   "pid=\"%P\",generation=\"%ui\",runtime=",
                                   p[i].worker, p[i].pid, p[i].generation);
        ngx_http_ffi_status_quote(w->out, &p[i].about, 0);
        ngx_http_ffi_status_printf(w->out, "} 1\n");
    }

    ngx_http_ffi_status_family(w, "ffi_worker_start_time_seconds", "gauge",
                               "When it has started, since the epoch.");

    for (i = 0; i < workers->nelts; i++) {
        ngx_http_ffi_status_printf(w->out, "ffi_worker_start_time_seconds"
                                   "{worker=\"%ui\",pid=\"%P\"} %T\n",
                                   p[i].worker, p[i].pid, p[i].started);
    }

    ngx_http_ffi_status_process(w, workers, "ffi_worker_threads",
                                "Threads of the process.",
                                offsetof(ngx_http_ffi_status_process_t,
                                         threads));
    ngx_http_ffi_status_process(w, workers,
                                "ffi_worker_resident_memory_bytes",
                                "Resident memory of the process.",
                                offsetof(ngx_http_ffi_status_process_t,
                                         resident));
}


/* offset: of a uint64_t */
static void
ngx_http_ffi_status_process(ngx_http_ffi_status_writer_t *w,
    ngx_array_t *workers, const char *name, const char *help, size_t offset)
{
    ngx_uint_t                      i;
    ngx_http_ffi_status_process_t  *p;

    p = workers->elts;

    ngx_http_ffi_status_family(w, name, "gauge", help);

    for (i = 0; i < workers->nelts; i++) {
        ngx_http_ffi_status_printf(w->out,
                                   "%s{worker=\"%ui\",pid=\"%P\"} %uL\n",
                                   name, p[i].worker, p[i].pid,
                                   *(uint64_t *) ((u_char *) &p[i] + offset));
    }
}


static void
ngx_http_ffi_status_single(ngx_http_ffi_status_writer_t *w, const char *name,
    const char *type, const char *help, uint64_t value)
{
    ngx_http_ffi_status_family(w, name, type, help);
    ngx_http_ffi_status_printf(w->out, "%s %uL\n", name, value);
}


static void
ngx_http_ffi_status_family(ngx_http_ffi_status_writer_t *w, const char *name,
    const char *type, const char *help)
{
    size_t  len;

    len = ngx_strlen(name);

    /* OpenMetrics calls a family what its counters are called but for this */

    if (w->openmetrics && ngx_strcmp(type, "counter") == 0) {
        len -= sizeof("_total") - 1;
    }

    ngx_http_ffi_status_printf(w->out, "# HELP %*s %s\n# TYPE %*s %s\n",
                               len, name, help, len, name, type);
}


static void
ngx_http_ffi_status_labels(ngx_http_ffi_status_writer_t *w,
    ngx_http_ffi_status_row_t *row)
{
    ngx_http_ffi_status_printf(w->out, "runtime=");
    ngx_http_ffi_status_quote(w->out, &row->runtime, 0);

    /* a row of a runtime has no method */

    if (row->method.data) {
        ngx_http_ffi_status_printf(w->out, ",method=");
        ngx_http_ffi_status_quote(w->out, &row->method, 0);
    }
}
