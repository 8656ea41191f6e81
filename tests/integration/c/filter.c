/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * An nginx module: a filter behind the pipe's own, for responses of two
 * types.
 *
 *   test/late    as image_filter: holds the header back and swallows the
 *                body; at a 'b' in it the response is 415 instead
 *   test/sizes   each buffer becomes its size, as text, and a line feed
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


static ngx_int_t test_filter_init(ngx_conf_t *cf);


static ngx_http_module_t  test_filter_module_ctx = {
    NULL,                                  /* preconfiguration */
    test_filter_init,                      /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


static ngx_module_t  test_filter_module = {
    NGX_MODULE_V1,
    &test_filter_module_ctx,               /* module context */
    NULL,                                  /* module directives */
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


ngx_module_t  *ngx_modules[] = { &test_filter_module, NULL };
char          *ngx_module_names[] = { "test_filter_module", NULL };

/* it stands before that one, and so runs after it */
char  *ngx_module_order[] = {
    "test_filter_module", "ngx_http_lua_ffi_filter_module", NULL
};


static ngx_http_output_header_filter_pt  test_next_header_filter;
static ngx_http_output_body_filter_pt    test_next_body_filter;


static ngx_uint_t
test_is(ngx_http_request_t *r, const char *type)
{
    return r->headers_out.content_type.len == ngx_strlen(type)
           && ngx_strncmp(r->headers_out.content_type.data, type,
                          ngx_strlen(type))
              == 0;
}


static ngx_int_t
test_header_filter(ngx_http_request_t *r)
{
    if (test_is(r, "test/late")) {
        ngx_http_set_ctx(r, r, test_filter_module);
        return NGX_OK;
    }

    return test_next_header_filter(r);
}


static ngx_int_t
test_swallow(ngx_http_request_t *r, ngx_chain_t *in)
{
    for ( /* void */ ; in; in = in->next) {
        if (in->buf->pos < in->buf->last && *in->buf->pos == 'b') {
            return ngx_http_filter_finalize_request(r, NULL,
                                            NGX_HTTP_UNSUPPORTED_MEDIA_TYPE);
        }

        in->buf->pos = in->buf->last;
    }

    return NGX_OK;
}


static ngx_int_t
test_send_sizes(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_buf_t    *b;
    ngx_chain_t  *out, **last, *cl;

    out = NULL;
    last = &out;

    for ( /* void */ ; in; in = in->next) {
        b = ngx_create_temp_buf(r->pool, NGX_OFF_T_LEN + 1);
        cl = ngx_alloc_chain_link(r->pool);

        if (b == NULL || cl == NULL) {
            return NGX_ERROR;
        }

        if (ngx_buf_size(in->buf)) {
            b->last = ngx_sprintf(b->pos, "%O\n", ngx_buf_size(in->buf));
        }

        b->temporary = b->last > b->pos;
        b->flush = in->buf->flush;
        b->last_buf = in->buf->last_buf;
        b->sync = !b->temporary && !b->flush && !b->last_buf;

        in->buf->pos = in->buf->last;

        cl->buf = b;
        cl->next = NULL;
        *last = cl;
        last = &cl->next;
    }

    return test_next_body_filter(r, out);
}


static ngx_int_t
test_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    if (in && ngx_http_get_module_ctx(r, test_filter_module)) {
        return test_swallow(r, in);
    }

    if (in && test_is(r, "test/sizes")) {
        return test_send_sizes(r, in);
    }

    return test_next_body_filter(r, in);
}


static ngx_int_t
test_filter_init(ngx_conf_t *cf)
{
    (void) cf;

    test_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = test_header_filter;

    test_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = test_body_filter;

    return NGX_OK;
}
