/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_ffi_conf.h"
#include "ngx_http_ffi_pass_conf.h"
#include "ngx_http_ffi_pass_handler.h"
#include "ngx_http_ffi_pass_request.h"
#include "ngx_http_ffi_pass_upgrade.h"
#include "ngx_http_ffi_process.h"
#include "resty_ffi.h"


/* for the head of an answer, and between its parts */
#define NGX_HTTP_FFI_PASS_TIMEOUT  60000


static void *ngx_http_ffi_pass_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_ffi_pass_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_ffi_pass_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_ffi_pass_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_ffi_pass(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_ffi_pass_lower(ngx_conf_t *cf, void *post, void *data);
static char *ngx_http_ffi_pass_stream_buffer(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static ngx_int_t ngx_http_ffi_pass_init_process(ngx_cycle_t *cycle);


static ngx_http_ffi_quit_t  ngx_http_ffi_pass_quit = {
    ngx_http_ffi_pass_upgrade_quit, ngx_http_ffi_pass_end_all, NULL
};


static ngx_conf_post_t  ngx_http_ffi_pass_lower_post = {
    ngx_http_ffi_pass_lower
};


#define NGX_HTTP_FFI_PASS_LEVELS                                              \
    (NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF)

/* one setting under two names */
#define NGX_HTTP_FFI_PASS_SETTING(name, args, set, member, post)              \
    { ngx_string("ffi_" name), NGX_HTTP_FFI_PASS_LEVELS|(args), set,          \
      NGX_HTTP_LOC_CONF_OFFSET,                                               \
      offsetof(ngx_http_ffi_pass_loc_conf_t, member), post },                 \
    { ngx_string("python_" name), NGX_HTTP_FFI_PASS_LEVELS|(args), set,       \
      NGX_HTTP_LOC_CONF_OFFSET,                                               \
      offsetof(ngx_http_ffi_pass_loc_conf_t, member), post }


static ngx_command_t  ngx_http_ffi_pass_commands[] = {

    { ngx_string("ffi_pass"),
      NGX_HTTP_LOC_CONF|NGX_HTTP_LIF_CONF|NGX_CONF_TAKE12,
      ngx_http_ffi_pass,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    NGX_HTTP_FFI_PASS_SETTING("request_buffering", NGX_CONF_FLAG,
                              ngx_conf_set_flag_slot, request_buffering, NULL),

    NGX_HTTP_FFI_PASS_SETTING("ignore_client_abort", NGX_CONF_FLAG,
                              ngx_conf_set_flag_slot, ignore_client_abort,
                              NULL),

    NGX_HTTP_FFI_PASS_SETTING("intercept_errors", NGX_CONF_FLAG,
                              ngx_conf_set_flag_slot, intercept_errors, NULL),

    NGX_HTTP_FFI_PASS_SETTING("hide_header", NGX_CONF_TAKE1,
                              ngx_conf_set_str_array_slot, hide_headers,
                              &ngx_http_ffi_pass_lower_post),

    NGX_HTTP_FFI_PASS_SETTING("read_timeout", NGX_CONF_TAKE1,
                              ngx_conf_set_msec_slot, read_timeout, NULL),

    NGX_HTTP_FFI_PASS_SETTING("send_timeout", NGX_CONF_TAKE1,
                              ngx_conf_set_msec_slot, send_timeout, NULL),

    { ngx_string("ffi_show_errors"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_ffi_pass_main_conf_t, show_errors),
      NULL },

    { ngx_string("python_show_errors"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_ffi_pass_main_conf_t, show_errors),
      NULL },

    /* ffi_stream_buffer is the core's */

    { ngx_string("python_stream_buffer"),
      NGX_HTTP_FFI_PASS_LEVELS|NGX_CONF_TAKE1,
      ngx_http_ffi_pass_stream_buffer,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_ffi_pass_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    ngx_http_ffi_pass_create_main_conf,    /* create main configuration */
    ngx_http_ffi_pass_init_main_conf,      /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_ffi_pass_create_loc_conf,     /* create location configuration */
    ngx_http_ffi_pass_merge_loc_conf       /* merge location configuration */
};


ngx_module_t  ngx_http_ffi_pass_module = {
    NGX_MODULE_V1,
    &ngx_http_ffi_pass_module_ctx,         /* module context */
    ngx_http_ffi_pass_commands,            /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_ffi_pass_init_process,        /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void *
ngx_http_ffi_pass_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_ffi_pass_main_conf_t  *pmcf;

    pmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_ffi_pass_main_conf_t));
    if (pmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&pmcf->targets, cf->pool, 4,
                       sizeof(ngx_http_ffi_target_t *))
        != NGX_OK)
    {
        return NULL;
    }

    pmcf->show_errors = NGX_CONF_UNSET;

    return pmcf;
}


static char *
ngx_http_ffi_pass_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_ffi_pass_main_conf_t  *pmcf = conf;

    ngx_uint_t               i;
    ngx_http_ffi_target_t  **targets;

    (void) cf;

    ngx_conf_init_value(pmcf->show_errors, 0);

    if (!pmcf->show_errors) {
        return NGX_CONF_OK;
    }

    targets = (ngx_http_ffi_target_t **) pmcf->targets.elts;

    for (i = 0; i < pmcf->targets.nelts; i++) {
        targets[i]->load.options[RESTY_FFI_SHOW_ERRORS] = 1;
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_ffi_pass_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_ffi_pass_loc_conf_t  *plcf;

    plcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_ffi_pass_loc_conf_t));
    if (plcf == NULL) {
        return NULL;
    }

    plcf->request_buffering = NGX_CONF_UNSET;
    plcf->ignore_client_abort = NGX_CONF_UNSET;
    plcf->intercept_errors = NGX_CONF_UNSET;
    plcf->hide_headers = NGX_CONF_UNSET_PTR;
    plcf->read_timeout = NGX_CONF_UNSET_MSEC;
    plcf->send_timeout = NGX_CONF_UNSET_MSEC;

    return plcf;
}


/* what is in "if" or "limit_except" is of the location around it */
static char *
ngx_http_ffi_pass_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_ffi_pass_loc_conf_t  *prev = parent;
    ngx_http_ffi_pass_loc_conf_t  *conf = child;

    ngx_http_core_loc_conf_t  *clcf;

    if (conf->params == NULL) {
        conf->params = prev->params;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->noname && conf->target == NULL) {
        conf->target = prev->target;
        conf->root_path = prev->root_path;
    }

    if (clcf->lmt_excpt && clcf->handler == NULL && conf->target) {
        clcf->handler = ngx_http_ffi_pass_handler;
    }

    /* where nothing is said, it is the target's */

    ngx_conf_merge_value(conf->request_buffering, prev->request_buffering,
                         NGX_CONF_UNSET);
    ngx_conf_merge_value(conf->ignore_client_abort, prev->ignore_client_abort,
                         0);
    ngx_conf_merge_value(conf->intercept_errors, prev->intercept_errors, 0);
    ngx_conf_merge_ptr_value(conf->hide_headers, prev->hide_headers, NULL);
    ngx_conf_merge_msec_value(conf->read_timeout, prev->read_timeout,
                              NGX_HTTP_FFI_PASS_TIMEOUT);
    ngx_conf_merge_msec_value(conf->send_timeout, prev->send_timeout,
                              NGX_CONF_UNSET_MSEC);

    /* nginx's own has been merged, and what it sends after us has it, too */

    if (conf->target && conf->send_timeout != NGX_CONF_UNSET_MSEC) {
        clcf->send_timeout = conf->send_timeout;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_ffi_pass(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t               *value;
    ngx_uint_t               i;
    ngx_http_ffi_target_t   *target;

    static ngx_str_t  none = ngx_null_string;

    (void) cmd;
    (void) conf;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        if (ngx_http_script_variables_count(&value[i])) {
            return "takes no variables";
        }
    }

    target = ngx_pcalloc(cf->pool, sizeof(ngx_http_ffi_target_t));
    if (target == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_http_ffi_target_init(target, &value[1],
                             cf->args->nelts > 2 ? &value[2] : NULL);

    return ngx_http_ffi_pass_set(cf, target, &none, 1);
}


char *
ngx_http_ffi_pass_set(ngx_conf_t *cf, ngx_http_ffi_target_t *target,
    ngx_str_t *root_path, ngx_uint_t is_new)
{
    ngx_http_ffi_target_t          **all;
    ngx_http_core_loc_conf_t        *clcf;
    ngx_http_ffi_pass_loc_conf_t    *plcf;
    ngx_http_ffi_pass_main_conf_t   *pmcf;

    plcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_ffi_pass_module);
    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_ffi_pass_module);

    if (plcf->target) {
        return "is duplicate";
    }

    if (is_new) {
        all = (ngx_http_ffi_target_t **) ngx_array_push(&pmcf->targets);
        if (all == NULL) {
            return NGX_CONF_ERROR;
        }

        *all = target;
    }

    plcf->target = target;
    plcf->root_path = *root_path;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_ffi_pass_handler;

    if (clcf->name.len && clcf->name.data[clcf->name.len - 1] == '/') {
        clcf->auto_redirect = 1;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_ffi_pass_lower(ngx_conf_t *cf, void *post, void *data)
{
    ngx_str_t  *name;

    (void) cf;
    (void) post;

    name = data;
    ngx_strlow(name->data, name->data, name->len);

    return NGX_CONF_OK;
}


static char *
ngx_http_ffi_pass_stream_buffer(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    char                     *rv;
    ngx_command_t             core;
    ngx_http_ffi_loc_conf_t  *flcf;

    (void) conf;

    flcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_ffi_module);

    core = *cmd;
    core.offset = offsetof(ngx_http_ffi_loc_conf_t, stream_buffer);

    rv = ngx_conf_set_size_slot(cf, &core, flcf);

    if (rv == NGX_CONF_OK && flcf->stream_buffer == 0) {
        return "must not be 0";
    }

    return rv;
}


static ngx_int_t
ngx_http_ffi_pass_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                      i;
    ngx_http_ffi_target_t         **targets;
    ngx_http_ffi_pass_main_conf_t  *pmcf;

    ngx_http_ffi_on_quit(&ngx_http_ffi_pass_quit);

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    pmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_ffi_pass_module);
    if (pmcf == NULL) {
        return NGX_OK;
    }

    targets = (ngx_http_ffi_target_t **) pmcf->targets.elts;

    for (i = 0; i < pmcf->targets.nelts; i++) {
        if (targets[i]->begin) {
            targets[i]->begin(targets[i]);

        } else {
            ngx_http_ffi_target_start(targets[i], cycle->log);
        }
    }

    return NGX_OK;
}
