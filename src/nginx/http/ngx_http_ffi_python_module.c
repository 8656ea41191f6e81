/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_ffi_python_env.h"
#include "ngx_http_ffi_python_start.h"
#include "ngx_http_ffi_python_target.h"
#include "resty_ffi.h"


#define NGX_HTTP_FFI_PYTHON_THREADS    8
#define NGX_HTTP_FFI_PYTHON_MAX_QUEUE  65536
#define NGX_HTTP_FFI_PYTHON_MAX_SIZE   ((size_t) 16 << 20)

/* what is compressed is counted in 32 bits */
#define NGX_HTTP_FFI_PYTHON_SIZE_BOUND  ((size_t) 1 << 30)


typedef struct {
    ngx_array_t  targets;    /* ngx_http_ffi_python_target_t * */
    ngx_array_t  path;       /* ngx_str_t, of python_path */
    ngx_str_t    venv;
    ngx_int_t    threads;
    ngx_int_t    max_queue;
    size_t       max_size;   /* of a message of WebSocket */
    unsigned     used:1;     /* by any of its directives */
} ngx_http_ffi_python_main_conf_t;


static ngx_int_t ngx_http_ffi_python_init_module(ngx_cycle_t *cycle);
static void *ngx_http_ffi_python_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_ffi_python_init_main_conf(ngx_conf_t *cf, void *conf);
static char *ngx_http_ffi_python_check_size(ngx_conf_t *cf, void *post,
    void *data);
static char *ngx_http_ffi_python_pass(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_ffi_python_param(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_ffi_python_path(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_ffi_python_venv(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_ffi_python_env(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_ffi_python_env_file(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


ngx_module_t  ngx_http_ffi_python_module;


static ngx_conf_num_bounds_t  ngx_http_ffi_python_threads_bounds = {
    ngx_conf_check_num_bounds, 1, 1024
};

static ngx_conf_num_bounds_t  ngx_http_ffi_python_queue_bounds = {
    ngx_conf_check_num_bounds, 1, 1000000
};


static ngx_conf_post_t  ngx_http_ffi_python_size_post = {
    ngx_http_ffi_python_check_size
};


static ngx_command_t  ngx_http_ffi_python_commands[] = {

    { ngx_string("python_pass"),
      NGX_HTTP_LOC_CONF|NGX_HTTP_LIF_CONF|NGX_HTTP_LMT_CONF|NGX_CONF_1MORE,
      ngx_http_ffi_python_pass,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("python_param"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF
      |NGX_HTTP_LIF_CONF|NGX_CONF_TAKE2,
      ngx_http_ffi_python_param,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("python_path"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_ffi_python_path,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("python_venv"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_ffi_python_venv,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("python_env"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,
      ngx_http_ffi_python_env,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("python_env_file"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_ffi_python_env_file,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("python_threads"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_ffi_python_main_conf_t, threads),
      &ngx_http_ffi_python_threads_bounds },

    { ngx_string("python_max_queue"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_ffi_python_main_conf_t, max_queue),
      &ngx_http_ffi_python_queue_bounds },

    { ngx_string("python_websocket_max_size"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_ffi_python_main_conf_t, max_size),
      &ngx_http_ffi_python_size_post },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_ffi_python_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    ngx_http_ffi_python_create_main_conf,  /* create main configuration */
    ngx_http_ffi_python_init_main_conf,    /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_ffi_python_module = {
    NGX_MODULE_V1,
    &ngx_http_ffi_python_module_ctx,       /* module context */
    ngx_http_ffi_python_commands,          /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_ffi_python_init_module,       /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* "user" and "env" may stand behind "http" */
static ngx_int_t
ngx_http_ffi_python_init_module(ngx_cycle_t *cycle)
{
    ngx_http_ffi_python_main_conf_t  *pmcf;

    pmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_ffi_python_module);

    if (pmcf == NULL || !pmcf->used) {
        return NGX_OK;
    }

    return ngx_http_ffi_python_env_home(cycle);
}


static void *
ngx_http_ffi_python_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_ffi_python_main_conf_t  *pmcf;

    pmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_ffi_python_main_conf_t));
    if (pmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&pmcf->targets, cf->pool, 4,
                       sizeof(ngx_http_ffi_python_target_t *))
        != NGX_OK
        || ngx_array_init(&pmcf->path, cf->pool, 4, sizeof(ngx_str_t))
           != NGX_OK)
    {
        return NULL;
    }

    pmcf->threads = NGX_CONF_UNSET;
    pmcf->max_queue = NGX_CONF_UNSET;
    pmcf->max_size = NGX_CONF_UNSET_SIZE;

    return pmcf;
}


static char *
ngx_http_ffi_python_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_ffi_python_main_conf_t  *pmcf = conf;

    ngx_uint_t                      i;
    ngx_http_ffi_python_target_t  **targets;

    ngx_conf_init_value(pmcf->threads, NGX_HTTP_FFI_PYTHON_THREADS);
    ngx_conf_init_value(pmcf->max_queue, NGX_HTTP_FFI_PYTHON_MAX_QUEUE);
    ngx_conf_init_size_value(pmcf->max_size, NGX_HTTP_FFI_PYTHON_MAX_SIZE);

    targets = (ngx_http_ffi_python_target_t **) pmcf->targets.elts;

    for (i = 0; i < pmcf->targets.nelts; i++) {
        targets[i]->pass.load.max_queue = (uint32_t) pmcf->max_queue;
        targets[i]->pass.load.options[RESTY_FFI_THREADS] =
            (double) pmcf->threads;
        targets[i]->pass.load.options[RESTY_FFI_MAX_MESSAGE] =
            (double) pmcf->max_size;
    }

    return ngx_http_ffi_python_starts(cf, &pmcf->targets,
                                      &ngx_http_ffi_python_module)
           == NGX_OK
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_ffi_python_check_size(ngx_conf_t *cf, void *post, void *data)
{
    size_t  *size = data;

    (void) cf;
    (void) post;

    return *size > 0 && *size <= NGX_HTTP_FFI_PYTHON_SIZE_BOUND
           ? NGX_CONF_OK : "must be from 1 to 1g";
}


static char *
ngx_http_ffi_python_pass(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                         root_path;
    ngx_uint_t                        i;
    const char                       *err;
    ngx_http_ffi_python_target_t     *target, **all;
    ngx_http_ffi_python_main_conf_t  *pmcf;

    (void) cmd;
    (void) conf;

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_ffi_python_module);

    target = ngx_pcalloc(cf->pool, sizeof(ngx_http_ffi_python_target_t));
    if (target == NULL) {
        return NGX_CONF_ERROR;
    }

    err = ngx_http_ffi_python_target_parse(cf, target, &root_path);
    if (err) {
        return (char *) err;
    }

    all = (ngx_http_ffi_python_target_t **) pmcf->targets.elts;

    for (i = 0; i < pmcf->targets.nelts; i++) {

        if (ngx_http_ffi_python_target_is(all[i], target)) {
            return ngx_http_ffi_pass_set(cf, &all[i]->pass, &root_path, 0);
        }

        if (ngx_http_ffi_python_target_shadows(all[i], target)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" and \"%V\" are modules of one "
                               "name in two directories: an interpreter has "
                               "one", &all[i]->app, &target->app);
            return NGX_CONF_ERROR;
        }
    }

    if (ngx_http_ffi_python_target_init(cf, target) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    all = (ngx_http_ffi_python_target_t **) ngx_array_push(&pmcf->targets);
    if (all == NULL) {
        return NGX_CONF_ERROR;
    }

    *all = target;
    pmcf->used = 1;

    return ngx_http_ffi_pass_set(cf, &target->pass, &root_path, 1);
}


static char *
ngx_http_ffi_python_param(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                         *value;
    ngx_http_ffi_pass_param_t         *param;
    ngx_http_ffi_pass_loc_conf_t      *plcf;
    ngx_http_compile_complex_value_t   ccv;

    (void) cmd;
    (void) conf;

    plcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_ffi_pass_module);
    value = cf->args->elts;

    if (ngx_strncmp(value[1].data, "wsgi.", 5) == 0) {
        return "has a name that is WSGI's own";
    }

    if (plcf->params == NULL) {
        plcf->params = ngx_array_create(cf->pool, 4,
                                        sizeof(ngx_http_ffi_pass_param_t));
        if (plcf->params == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    param = ngx_array_push(plcf->params);
    if (param == NULL) {
        return NGX_CONF_ERROR;
    }

    param->name = value[1];

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &value[2];
    ccv.complex_value = &param->value;

    return ngx_http_compile_complex_value(&ccv) == NGX_OK
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_ffi_python_path(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_ffi_python_main_conf_t  *pmcf = conf;

    ngx_str_t   *value, *path, joined;
    ngx_uint_t   i;

    (void) cmd;

    value = cf->args->elts;
    pmcf->used = 1;

    for (i = 1; i < cf->args->nelts; i++) {
        if (ngx_conf_full_name(cf->cycle, &value[i], 1) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        if (ngx_strlchr(value[i].data, value[i].data + value[i].len, ':')) {
            return "has a directory with a colon in it";
        }

        path = ngx_array_push(&pmcf->path);
        if (path == NULL) {
            return NGX_CONF_ERROR;
        }

        *path = value[i];
    }

    if (ngx_http_ffi_python_join(cf, &pmcf->path, &joined) != NGX_OK
        || ngx_http_ffi_python_env_set(cf->cycle, "PYTHONPATH", &joined)
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_ffi_python_venv(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_ffi_python_main_conf_t  *pmcf = conf;

    ngx_str_t  *value;

    (void) cmd;

    if (pmcf->venv.data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    pmcf->venv = value[1];
    pmcf->used = 1;

    if (ngx_conf_full_name(cf->cycle, &pmcf->venv, 1) != NGX_OK
        || ngx_http_ffi_python_env_set(cf->cycle, "VIRTUAL_ENV", &pmcf->venv)
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_ffi_python_env(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_ffi_python_main_conf_t  *pmcf = conf;

    ngx_str_t  *value;

    (void) cmd;

    pmcf->used = 1;

    value = cf->args->elts;

    if (!ngx_http_ffi_python_env_name(&value[1])) {
        return "has a name that no variable can have";
    }

    return ngx_http_ffi_python_env_set(cf->cycle, (char *) value[1].data,
                                       &value[2])
           == NGX_OK
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_ffi_python_env_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_ffi_python_main_conf_t  *pmcf = conf;

    ngx_str_t  *value;

    (void) cmd;

    pmcf->used = 1;

    value = cf->args->elts;

    return ngx_http_ffi_python_env_read(cf, &value[1]) == NGX_OK
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}
