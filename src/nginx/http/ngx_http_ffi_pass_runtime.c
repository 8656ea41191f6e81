/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>

#include <math.h>

#include "ngx_http_ffi_load.h"
#include "ngx_http_ffi_pass_runtime.h"


#define NGX_HTTP_FFI_PASS_MAX_QUEUE  65536


void
ngx_http_ffi_target_init(ngx_http_ffi_target_t *target, ngx_str_t *lib,
    ngx_str_t *cfg)
{
    ngx_uint_t            i;
    ngx_http_ffi_load_t  *load;

    load = &target->load;

    load->lib = *lib;
    target->name = *lib;

    if (cfg) {
        load->cfg = *cfg;
        load->has_cfg = 1;

    } else {
        ngx_str_set(&load->cfg, "");
    }

    load->max_queue = NGX_HTTP_FFI_PASS_MAX_QUEUE;
    load->max_request = NGX_MAX_INT32_VALUE;
    load->max_response = NGX_MAX_INT32_VALUE;
    load->timeout = NGX_CONF_UNSET_MSEC;

    for (i = 0; i < BRIDGE_QUEUE_OPTIONS; i++) {
        load->options[i] = NAN;
    }
}


ngx_http_ffi_runtime_t *
ngx_http_ffi_target_runtime(ngx_http_ffi_target_t *target, ngx_log_t *log)
{
    size_t                   len;
    u_char                   err[NGX_HTTP_FFI_ERR_LEN];
    ngx_str_t                why;
    ngx_http_ffi_runtime_t  *rt;

    if (target->has_id) {
        rt = ngx_http_ffi_serving(target->id);
        if (rt) {
            return rt;
        }

        target->has_id = 0;
    }

    if (target->failed == ngx_time()) {
        return NULL;
    }

    len = sizeof(err);

    rt = ngx_http_ffi_load(&target->load, err, &len);

    if (rt == NULL) {
        why.data = err;
        why.len = len;
        ngx_http_ffi_target_failed(target, log, &why);
        return NULL;
    }

    if (rt->state == NGX_HTTP_FFI_READY) {
        target->id = ngx_http_ffi_id(rt);
        target->has_id = 1;
    }

    return rt;
}


void
ngx_http_ffi_target_failed(ngx_http_ffi_target_t *target, ngx_log_t *log,
    ngx_str_t *why)
{
    target->failed = ngx_time();

    if (!ngx_http_ffi_may_log(&target->said)) {
        return;
    }

    if (why->len == 0) {
        ngx_str_set(why, "the library could not start");
    }

    ngx_log_error(NGX_LOG_ERR, log, 0, "ffi: cannot load \"%V\": %V",
                  &target->name, why);
}
