/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ffi_status_html.h"
#include "ngx_http_ffi_conf.h"
#include "ngx_http_ffi_status_json.h"
#include "ngx_http_ffi_status_read.h"
#include "ngx_http_ffi_status_text.h"


typedef struct {
    ngx_uint_t  used;       /* by any location */
} ngx_http_ffi_status_main_conf_t;


typedef struct {
    ngx_uint_t  full;       /* slow calls and errors, too */
} ngx_http_ffi_status_loc_conf_t;


typedef enum {
    NGX_HTTP_FFI_STATUS_UNKNOWN = 0,
    NGX_HTTP_FFI_STATUS_TEXT,
    NGX_HTTP_FFI_STATUS_OPENMETRICS,
    NGX_HTTP_FFI_STATUS_JSON,
    NGX_HTTP_FFI_STATUS_HTML
} ngx_http_ffi_status_format_e;


static ngx_int_t ngx_http_ffi_status_handler(ngx_http_request_t *r);
static ngx_http_ffi_status_format_e ngx_http_ffi_status_format(
    ngx_http_request_t *r);
static ngx_uint_t ngx_http_ffi_status_accepts(ngx_http_request_t *r,
    const char *type);
static ngx_int_t ngx_http_ffi_status_make(ngx_http_request_t *r,
    ngx_http_ffi_status_out_t *out, ngx_http_ffi_status_format_e format);
static ngx_int_t ngx_http_ffi_status_send(ngx_http_request_t *r,
    ngx_http_ffi_status_out_t *out, ngx_http_ffi_status_format_e format);
static void *ngx_http_ffi_status_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_ffi_status_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_ffi_status_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_http_ffi_status_init(ngx_conf_t *cf);


static ngx_command_t  ngx_http_ffi_status_commands[] = {

    { ngx_string("ffi_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_ffi_status_set,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_ffi_status_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_ffi_status_init,              /* postconfiguration */

    ngx_http_ffi_status_create_main_conf,  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_ffi_status_create_loc_conf,   /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_ffi_status_module = {
    NGX_MODULE_V1,
    &ngx_http_ffi_status_module_ctx,       /* module context */
    ngx_http_ffi_status_commands,          /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static const ngx_str_t  ngx_http_ffi_status_types[] = {
    ngx_null_string,
    ngx_string("text/plain; version=0.0.4; charset=utf-8"),
    ngx_string("application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ngx_string("application/json"),
    ngx_string("text/html; charset=utf-8")
};


static ngx_int_t
ngx_http_ffi_status_handler(ngx_http_request_t *r)
{
    ngx_int_t                     rc;
    ngx_http_ffi_status_out_t     out;
    ngx_http_ffi_status_format_e  format;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    format = ngx_http_ffi_status_format(r);
    if (format == NGX_HTTP_FFI_STATUS_UNKNOWN) {
        return NGX_HTTP_BAD_REQUEST;
    }

    ngx_memzero(&out, sizeof(ngx_http_ffi_status_out_t));
    out.pool = r->pool;

    rc = ngx_http_ffi_status_make(r, &out, format);

    return rc == NGX_OK ? ngx_http_ffi_status_send(r, &out, format) : rc;
}


/* as the argument says; else the header, in which a browser names HTML */
static ngx_http_ffi_status_format_e
ngx_http_ffi_status_format(ngx_http_request_t *r)
{
    ngx_str_t   value;
    ngx_uint_t  i;

    static const ngx_str_t  names[] = {
        ngx_null_string,
        ngx_string("prometheus"),
        ngx_string("openmetrics"),
        ngx_string("json"),
        ngx_string("html")
    };

    if (ngx_http_arg(r, (u_char *) "format", sizeof("format") - 1, &value)
        == NGX_OK)
    {
        for (i = NGX_HTTP_FFI_STATUS_TEXT; i <= NGX_HTTP_FFI_STATUS_HTML; i++)
        {
            if (value.len == names[i].len
                && ngx_strncmp(value.data, names[i].data, value.len) == 0)
            {
                return i;
            }
        }

        return NGX_HTTP_FFI_STATUS_UNKNOWN;
    }

    if (ngx_http_ffi_status_accepts(r, "text/html")) {
        return NGX_HTTP_FFI_STATUS_HTML;
    }

    if (ngx_http_ffi_status_accepts(r, "application/openmetrics-text")) {
        return NGX_HTTP_FFI_STATUS_OPENMETRICS;
    }

    if (ngx_http_ffi_status_accepts(r, "application/json")) {
        return NGX_HTTP_FFI_STATUS_JSON;
    }

    return NGX_HTTP_FFI_STATUS_TEXT;
}


static ngx_uint_t
ngx_http_ffi_status_accepts(ngx_http_request_t *r, const char *type)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].key.len == sizeof("Accept") - 1
                && ngx_strcasecmp(h[i].key.data, (u_char *) "Accept") == 0
                && ngx_strcasestrn(h[i].value.data, (char *) type,
                                   ngx_strlen(type) - 1))
            {
                return 1;
            }
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_ffi_status_make(ngx_http_request_t *r,
    ngx_http_ffi_status_out_t *out, ngx_http_ffi_status_format_e format)
{
    ngx_int_t                        rc;
    ngx_http_ffi_status_t            status;
    ngx_http_ffi_status_loc_conf_t  *slcf;

    if (format == NGX_HTTP_FFI_STATUS_HTML) {
        ngx_http_ffi_status_write(out, ngx_http_ffi_status_html,
                                  sizeof(ngx_http_ffi_status_html) - 1);
        return NGX_OK;
    }

    rc = ngx_http_ffi_status_read(r->pool, &status);

    if (rc == NGX_DECLINED) {
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (format == NGX_HTTP_FFI_STATUS_JSON) {
        slcf = ngx_http_get_module_loc_conf(r, ngx_http_ffi_status_module);
        ngx_http_ffi_status_json(out, &status, slcf->full);

    } else {
        ngx_http_ffi_status_text(out, &status,
                                 format == NGX_HTTP_FFI_STATUS_OPENMETRICS);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ffi_status_send(ngx_http_request_t *r,
    ngx_http_ffi_status_out_t *out, ngx_http_ffi_status_format_e format)
{
    ngx_int_t         rc;
    ngx_table_elt_t  *h;

    if (ngx_http_ffi_status_end(out, r == r->main) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));
    h->hash = 1;
    ngx_str_set(&h->key, "Cache-Control");
    ngx_str_set(&h->value, "no-store");

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = out->size;
    r->headers_out.content_type = ngx_http_ffi_status_types[format];
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_output_filter(r, out->first);
}


static void *
ngx_http_ffi_status_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_ffi_status_main_conf_t));
}


static void *
ngx_http_ffi_status_create_loc_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_ffi_status_loc_conf_t));
}


static char *
ngx_http_ffi_status_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                        *value;
    ngx_http_core_loc_conf_t         *clcf;
    ngx_http_ffi_status_loc_conf_t   *slcf = conf;
    ngx_http_ffi_status_main_conf_t  *smcf;

    (void) cmd;

    value = cf->args->elts;

    if (cf->args->nelts == 2) {
        if (ngx_strcmp(value[1].data, "full") != 0) {
            return "takes nothing, or \"full\"";
        }

        slcf->full = 1;
    }

    smcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_ffi_status_module);
    smcf->used = 1;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_ffi_status_handler;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_ffi_status_init(ngx_conf_t *cf)
{
    ngx_http_ffi_main_conf_t         *fmcf;
    ngx_http_ffi_status_main_conf_t  *smcf;

    smcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_ffi_status_module);
    fmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_ffi_module);

    if (smcf->used && fmcf->status_zone == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"ffi_status\" needs \"ffi_status_zone name "
                           "size;\" in the http block");
        return NGX_ERROR;
    }

    return NGX_OK;
}
