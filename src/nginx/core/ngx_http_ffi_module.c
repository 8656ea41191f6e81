/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <stdlib.h>
#include <unistd.h>

#include "ngx_http_ffi_conf.h"
#include "ngx_http_ffi_event.h"
#include "ngx_http_ffi_process.h"
#include "ngx_http_ffi_replace.h"
#include "ngx_http_ffi_runtimes.h"
#include "ngx_http_ffi_status_account.h"
#include "ngx_http_ffi_status_slow.h"
#include "ngx_http_ffi_status_zone.h"


/* the master kills a worker about 1.5 s after -s stop */
#define NGX_HTTP_FFI_STOP_TIMEOUT  500


static void *ngx_http_ffi_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_ffi_init_main_conf(ngx_conf_t *cf, void *conf);
static ngx_uint_t ngx_http_ffi_default_umask(void);
static char *ngx_http_ffi_set_umask(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_ffi_set_status_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static void *ngx_http_ffi_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_ffi_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_ffi_check_buffer(ngx_conf_t *cf, void *post,
    void *data);
static char *ngx_http_ffi_check_timeout(ngx_conf_t *cf, void *post,
    void *data);
static ngx_int_t ngx_http_ffi_init_process(ngx_cycle_t *cycle);
static void ngx_http_ffi_exit_process(ngx_cycle_t *cycle);
static void ngx_http_ffi_leave(int status, void *data);


static ngx_conf_post_t  ngx_http_ffi_buffer_post = {
    ngx_http_ffi_check_buffer
};


static ngx_conf_post_t  ngx_http_ffi_timeout_post = {
    ngx_http_ffi_check_timeout
};


static ngx_command_t  ngx_http_ffi_commands[] = {

    { ngx_string("ffi_exit_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_ffi_main_conf_t, exit_timeout),
      NULL },

    { ngx_string("ffi_umask"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_ffi_set_umask,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_ffi_main_conf_t, umask),
      NULL },

    { ngx_string("ffi_status_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,
      ngx_http_ffi_set_status_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("ffi_slow_time"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_ffi_main_conf_t, slow_time),
      NULL },

    { ngx_string("ffi_max_rss"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_off_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_ffi_main_conf_t, limits.max_rss),
      NULL },

    { ngx_string("ffi_max_requests"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_ffi_main_conf_t, limits.max_requests),
      NULL },

    { ngx_string("ffi_replace_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_ffi_main_conf_t, limits.timeout),
      &ngx_http_ffi_timeout_post },

    { ngx_string("ffi_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_ffi_loc_conf_t, timeout),
      NULL },

    { ngx_string("ffi_load_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_ffi_loc_conf_t, load_timeout),
      NULL },

    { ngx_string("ffi_stream_buffer"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_ffi_loc_conf_t, stream_buffer),
      &ngx_http_ffi_buffer_post },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_ffi_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    ngx_http_ffi_create_main_conf,         /* create main configuration */
    ngx_http_ffi_init_main_conf,           /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_ffi_create_loc_conf,          /* create location configuration */
    ngx_http_ffi_merge_loc_conf            /* merge location configuration */
};


ngx_module_t  ngx_http_ffi_module = {
    NGX_MODULE_V1,
    &ngx_http_ffi_module_ctx,              /* module context */
    ngx_http_ffi_commands,                 /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_ffi_init_process,             /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_ffi_exit_process,             /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void *
ngx_http_ffi_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_ffi_main_conf_t  *fmcf;

    fmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_ffi_main_conf_t));
    if (fmcf == NULL) {
        return NULL;
    }

    fmcf->exit_timeout = NGX_CONF_UNSET_MSEC;
    fmcf->umask = NGX_CONF_UNSET_UINT;
    fmcf->slow_time = NGX_CONF_UNSET_MSEC;
    fmcf->limits.max_rss = NGX_CONF_UNSET;
    fmcf->limits.max_requests = NGX_CONF_UNSET;
    fmcf->limits.timeout = NGX_CONF_UNSET_MSEC;

    return fmcf;
}


static char *
ngx_http_ffi_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_ffi_main_conf_t  *fmcf = conf;

    ngx_core_conf_t  *ccf;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cf->cycle->conf_ctx,
                                           ngx_core_module);

    if (fmcf->status_zone
        && ngx_http_ffi_status_zone_check(cf, fmcf->status_zone,
                                          ccf->worker_processes)
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    ngx_conf_init_msec_value(fmcf->slow_time, 0);

    if (fmcf->slow_time && fmcf->status_zone == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"ffi_slow_time\" needs \"ffi_status_zone name "
                           "size;\"");
        return NGX_CONF_ERROR;
    }

    ngx_conf_init_msec_value(fmcf->exit_timeout, 5000);
    ngx_conf_init_uint_value(fmcf->umask, ngx_http_ffi_default_umask());

    ngx_conf_init_value(fmcf->limits.max_rss, 0);
    ngx_conf_init_value(fmcf->limits.max_requests, 0);
    ngx_conf_init_msec_value(fmcf->limits.timeout, 10000);

    return ngx_http_ffi_replace_zone(cf, &fmcf->limits, &ngx_http_ffi_module)
           == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/* what nginx was started with: a daemon makes it 0, before a reload */
static ngx_uint_t
ngx_http_ffi_default_umask(void)
{
    mode_t             mask;
    static ngx_uint_t  started_with;

    if (started_with == 0) {
        mask = umask(0);
        (void) umask(mask);

        started_with = mask ? mask : 022;
    }

    return started_with;
}


static char *
ngx_http_ffi_set_umask(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    u_char      *p, *last;
    ngx_str_t   *value;
    ngx_uint_t  *mask;

    (void) cmd;

    value = cf->args->elts;
    mask = &((ngx_http_ffi_main_conf_t *) conf)->umask;

    if (*mask != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    *mask = 0;
    last = value[1].data + value[1].len;

    for (p = value[1].data; p < last; p++) {
        if (*p < '0' || *p > '7' || *mask > 077) {
            return "must be octal, from 0 to 777";
        }

        *mask = *mask * 8 + (*p - '0');
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_ffi_set_status_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                 *value;
    ngx_http_ffi_main_conf_t  *fmcf = conf;

    (void) cmd;

    value = cf->args->elts;

    if (fmcf->status_zone) {
        return "is duplicate";
    }

    fmcf->status_zone = ngx_http_ffi_status_zone_add(cf, &value[1], &value[2],
                                                     &ngx_http_ffi_module);

    return fmcf->status_zone ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static void *
ngx_http_ffi_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_ffi_loc_conf_t  *flcf;

    flcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_ffi_loc_conf_t));
    if (flcf == NULL) {
        return NULL;
    }

    flcf->timeout = NGX_CONF_UNSET_MSEC;
    flcf->load_timeout = NGX_CONF_UNSET_MSEC;
    flcf->stream_buffer = NGX_CONF_UNSET_SIZE;

    return flcf;
}


static char *
ngx_http_ffi_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_ffi_loc_conf_t  *prev = parent;
    ngx_http_ffi_loc_conf_t  *conf = child;

    ngx_log_t                 *log;
    ngx_http_core_loc_conf_t  *clcf;
    ngx_http_ffi_main_conf_t  *fmcf;

    /* nginx's own has been merged */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    fmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_ffi_module);

    log = clcf->error_log;

    if (log && log != &cf->cycle->new_log) {
        fmcf->log_level = ngx_max(fmcf->log_level, log->log_level);
    }

    /* where nothing is said, it is the runtime's */

    ngx_conf_merge_msec_value(conf->timeout, prev->timeout,
                              NGX_CONF_UNSET_MSEC);
    ngx_conf_merge_msec_value(conf->load_timeout, prev->load_timeout, 60000);
    ngx_conf_merge_size_value(conf->stream_buffer, prev->stream_buffer,
                              BRIDGE_STREAM_HIGH);

    return NGX_CONF_OK;
}


static char *
ngx_http_ffi_check_buffer(ngx_conf_t *cf, void *post, void *data)
{
    size_t  *size;

    (void) cf;
    (void) post;

    size = data;

    return *size ? NGX_CONF_OK : "must not be 0";
}


static char *
ngx_http_ffi_check_timeout(ngx_conf_t *cf, void *post, void *data)
{
    ngx_msec_t  *ms;

    (void) cf;
    (void) post;

    ms = data;

    return *ms ? NGX_CONF_OK : "must not be 0";
}


static ngx_int_t
ngx_http_ffi_init_process(ngx_cycle_t *cycle)
{
    ngx_http_ffi_main_conf_t  *fmcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    fmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_ffi_module);

    if (fmcf) {
        ngx_http_ffi_status_start(fmcf->status_zone);
        ngx_http_ffi_slow_start(fmcf->slow_time);
        ngx_http_ffi_replace_start(&fmcf->limits, fmcf->exit_timeout);
    }

    return NGX_OK;
}


static void
ngx_http_ffi_exit_process(ngx_cycle_t *cycle)
{
    ngx_msec_t                 ms;
    ngx_http_ffi_main_conf_t  *fmcf;

    if (!ngx_http_ffi_event_ready()) {
        ngx_http_ffi_status_stop();
        return;
    }

    ms = NGX_HTTP_FFI_STOP_TIMEOUT;

    if (!ngx_terminate) {
        fmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                                   ngx_http_ffi_module);
        if (fmcf) {
            ms = fmcf->exit_timeout;
        }
    }

    ngx_http_ffi_tell_exit();
    ngx_http_ffi_unload_all(ms);
    ngx_http_ffi_status_stop();
    ngx_http_ffi_event_close();

    /*
     * Threads of runtimes may still run: they must not see the destructors
     * of exit().  Registered last, this is called first.
     */

    if (on_exit(ngx_http_ffi_leave, NULL) != 0) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, 0,
                      "FFI011: lua ffi: on_exit() failed");
    }
}


static void
ngx_http_ffi_leave(int status, void *data)
{
    (void) data;

    _exit(status);
}
