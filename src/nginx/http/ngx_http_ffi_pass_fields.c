/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_ffi_pass_fields.h"


/* what becomes of a field */
typedef enum {
    NGX_HTTP_FFI_FIELD_PLAIN = 0,
    NGX_HTTP_FFI_FIELD_DROPPED,  /* of the connection, which is nginx's */
    NGX_HTTP_FFI_FIELD_ONE,      /* nginx has a pointer to it */
    NGX_HTTP_FFI_FIELD_MANY,     /* nginx has a list of them */
    NGX_HTTP_FFI_FIELD_TYPE,
    NGX_HTTP_FFI_FIELD_LENGTH,
    NGX_HTTP_FFI_FIELD_MODIFIED,
    NGX_HTTP_FFI_FIELD_LOCATION,
    NGX_HTTP_FFI_FIELD_TRAILER   /* says that there will be some */
} ngx_http_ffi_field_e;


typedef struct {
    ngx_str_t             name;
    ngx_http_ffi_field_e  kind;
    unsigned              kept;     /* NGX_HTTP_FFI_KEPT_… */
    size_t                offset;   /* in ngx_http_headers_out_t */
} ngx_http_ffi_known_t;


static ngx_uint_t ngx_http_ffi_pass_is_hidden(ngx_array_t *hidden,
    bridge_field_t *f);
static ngx_int_t ngx_http_ffi_pass_length(bridge_head_t *h, off_t *length,
    const char **why);
static const ngx_http_ffi_known_t *ngx_http_ffi_pass_known(
    bridge_field_t *f);
static ngx_int_t ngx_http_ffi_pass_field(ngx_http_request_t *r,
    bridge_field_t *f, const ngx_http_ffi_known_t *known);
static ngx_table_elt_t *ngx_http_ffi_pass_push(ngx_list_t *list,
    bridge_field_t *f);
static ngx_int_t ngx_http_ffi_pass_many(ngx_http_request_t *r,
    ngx_table_elt_t *h, size_t offset);
static void ngx_http_ffi_pass_type(ngx_http_request_t *r, bridge_field_t *f);
static ngx_uint_t ngx_http_ffi_pass_has_conditions(ngx_http_request_t *r);


#define FIELD(name, kind, member, kept)                                       \
    { ngx_string(name), NGX_HTTP_FFI_FIELD_##kind, kept,                      \
      offsetof(ngx_http_headers_out_t, member) }
#define KEPT(name, kept)                                                      \
    { ngx_string(name), NGX_HTTP_FFI_FIELD_PLAIN, kept, 0 }
#define DROPPED(name)                                                         \
    { ngx_string(name), NGX_HTTP_FFI_FIELD_DROPPED, 0, 0 }
#define REDIRECT  NGX_HTTP_FFI_KEPT_BY_REDIRECT
#define ERROR     NGX_HTTP_FFI_KEPT_BY_ERROR

static const ngx_http_ffi_known_t  ngx_http_ffi_pass_names[] = {
    FIELD("date",              ONE,      date,             0),
    FIELD("etag",              ONE,      etag,             0),
    FIELD("link",              MANY,     link,             0),
    FIELD("server",            ONE,      server,           0),
    FIELD("expires",           ONE,      expires,          REDIRECT),
    FIELD("location",          LOCATION, location,         0),
    FIELD("content-type",      TYPE,     content_type,     REDIRECT),
    FIELD("cache-control",     MANY,     cache_control,    REDIRECT),
    FIELD("content-length",    LENGTH,   content_length,   0),
    FIELD("accept-ranges",     ONE,      accept_ranges,    REDIRECT),
    FIELD("last-modified",     MODIFIED, last_modified,    0),
    FIELD("content-encoding",  ONE,      content_encoding, 0),

#if (nginx_version >= 1023000)
    FIELD("www-authenticate",  MANY,     www_authenticate, ERROR),
#else
    FIELD("www-authenticate",  ONE,      www_authenticate, ERROR),
#endif

    { ngx_string("trailer"), NGX_HTTP_FFI_FIELD_TRAILER, 0, 0 },

    KEPT("set-cookie",          REDIRECT),
    KEPT("content-disposition", REDIRECT),

    DROPPED("te"),
    DROPPED("upgrade"),
    DROPPED("connection"),
    DROPPED("keep-alive"),
    DROPPED("proxy-connection"),
    DROPPED("transfer-encoding"),
    DROPPED("x-accel-charset"),
    DROPPED("x-accel-expires"),
    DROPPED("x-accel-redirect"),
    DROPPED("x-accel-buffering"),
    DROPPED("x-accel-limit-rate")
};


ngx_int_t
ngx_http_ffi_pass_fields(ngx_http_request_t *r, bridge_head_t *h,
    ngx_array_t *hidden, const char **why)
{
    off_t  length;

    if (ngx_http_ffi_pass_length(h, &length, why) != NGX_OK) {
        return NGX_DECLINED;
    }

    r->headers_out.status = (ngx_uint_t) h->status;
    r->headers_out.status_line.len = 0;
    r->headers_out.content_length_n = length;

    if (ngx_http_ffi_pass_keep_fields(r, h, hidden, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!ngx_http_ffi_pass_has_conditions(r)) {
        r->disable_not_modified = 1;
    }

    return NGX_OK;
}


/* by 0: all of them */
ngx_int_t
ngx_http_ffi_pass_keep_fields(ngx_http_request_t *r, bridge_head_t *h,
    ngx_array_t *hidden, unsigned by)
{
    size_t                       i;
    bridge_field_t              *f;
    const ngx_http_ffi_known_t  *known;

    for (i = 0; i < h->nfields; i++) {
        f = &h->fields[i];
        known = ngx_http_ffi_pass_known(f);

        if ((by && (known == NULL || !(known->kept & by)))
            || (hidden && ngx_http_ffi_pass_is_hidden(hidden, f)))
        {
            continue;
        }

        if (ngx_http_ffi_pass_field(r, f, known) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_ffi_pass_is_hidden(ngx_array_t *hidden, bridge_field_t *f)
{
    ngx_str_t   *names;
    ngx_uint_t   i;

    names = hidden->elts;

    for (i = 0; i < hidden->nelts; i++) {
        if (names[i].len == f->name_len
            && ngx_memcmp(names[i].data, f->lower, f->name_len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* -1 where there is none */
static ngx_int_t
ngx_http_ffi_pass_length(bridge_head_t *h, off_t *length, const char **why)
{
    off_t                        n;
    size_t                       i;
    bridge_field_t              *f;
    const ngx_http_ffi_known_t  *known;

    *length = -1;

    for (i = 0; i < h->nfields; i++) {
        f = &h->fields[i];
        known = ngx_http_ffi_pass_known(f);

        if (known == NULL || known->kind != NGX_HTTP_FFI_FIELD_LENGTH) {
            continue;
        }

        n = ngx_atoof((u_char *) f->value, f->value_len);

        if (n == NGX_ERROR) {
            *why = "a Content-Length that is no number";
            return NGX_DECLINED;
        }

        if (*length != -1 && *length != n) {
            *why = "two Content-Lengths that differ";
            return NGX_DECLINED;
        }

        *length = n;
    }

    return NGX_OK;
}


static const ngx_http_ffi_known_t *
ngx_http_ffi_pass_known(bridge_field_t *f)
{
    size_t                       i;
    const ngx_http_ffi_known_t  *known;

    for (i = 0; i < sizeof(ngx_http_ffi_pass_names)
                    / sizeof(ngx_http_ffi_pass_names[0]); i++)
    {
        known = &ngx_http_ffi_pass_names[i];

        if (known->name.len == f->name_len
            && ngx_memcmp(known->name.data, f->lower, f->name_len) == 0)
        {
            return known;
        }
    }

    return NULL;
}


static ngx_int_t
ngx_http_ffi_pass_field(ngx_http_request_t *r, bridge_field_t *f,
    const ngx_http_ffi_known_t *known)
{
    ngx_table_elt_t       *h, **one;
    ngx_http_ffi_field_e   kind;

    kind = known ? known->kind : NGX_HTTP_FFI_FIELD_PLAIN;

    switch (kind) {

    case NGX_HTTP_FFI_FIELD_DROPPED:
    case NGX_HTTP_FFI_FIELD_LENGTH:
        return NGX_OK;

    case NGX_HTTP_FFI_FIELD_TYPE:
        ngx_http_ffi_pass_type(r, f);
        return NGX_OK;

    case NGX_HTTP_FFI_FIELD_TRAILER:
        if (r != r->main || r->http_version < NGX_HTTP_VERSION_11) {
            return NGX_OK;
        }

        r->expect_trailers = 1;
        break;

    default:
        break;
    }

    h = ngx_http_ffi_pass_push(&r->headers_out.headers, f);
    if (h == NULL) {
        return NGX_ERROR;
    }

    switch (kind) {

    case NGX_HTTP_FFI_FIELD_MANY:
        return ngx_http_ffi_pass_many(r, h, known->offset);

    case NGX_HTTP_FFI_FIELD_MODIFIED:
        r->headers_out.last_modified_time = ngx_parse_http_time(h->value.data,
                                                                h->value.len);
        break;

    case NGX_HTTP_FFI_FIELD_LOCATION:

        /* nginx would make one that is relative absolute */

        if (h->value.len && h->value.data[0] == '/') {
            return NGX_OK;
        }

        break;

    case NGX_HTTP_FFI_FIELD_ONE:
        break;

    default:
        return NGX_OK;
    }

    /* the last one counts, as for upstreams */

    one = (ngx_table_elt_t **) ((char *) &r->headers_out + known->offset);
    *one = h;

    return NGX_OK;
}


static ngx_table_elt_t *
ngx_http_ffi_pass_push(ngx_list_t *list, bridge_field_t *f)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(list);
    if (h == NULL) {
        return NULL;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->key.data = (u_char *) f->name;
    h->key.len = f->name_len;
    h->lowcase_key = (u_char *) f->lower;
    h->value.data = (u_char *) f->value;
    h->value.len = f->value_len;

    return h;
}


ngx_int_t
ngx_http_ffi_pass_list(ngx_list_t *list, bridge_head_t *h,
    ngx_array_t *hidden)
{
    size_t                       i;
    bridge_field_t              *f;
    const ngx_http_ffi_known_t  *known;

    for (i = 0; i < h->nfields; i++) {
        f = &h->fields[i];
        known = ngx_http_ffi_pass_known(f);

        /* what is about the message comes in the head */

        if ((known && (known->kind == NGX_HTTP_FFI_FIELD_DROPPED
                       || known->kind == NGX_HTTP_FFI_FIELD_LENGTH
                       || known->kind == NGX_HTTP_FFI_FIELD_TRAILER))
            || (hidden && ngx_http_ffi_pass_is_hidden(hidden, f)))
        {
            continue;
        }

        if (ngx_http_ffi_pass_push(list, f) == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ffi_pass_many(ngx_http_request_t *r, ngx_table_elt_t *h,
    size_t offset)
{
#if (nginx_version >= 1023000)

    ngx_table_elt_t  **last;

    last = (ngx_table_elt_t **) ((char *) &r->headers_out + offset);

    while (*last) {
        last = &(*last)->next;
    }

    *last = h;

#else

    ngx_array_t       *all;
    ngx_table_elt_t  **one;

    all = (ngx_array_t *) ((char *) &r->headers_out + offset);

    if (all->elts == NULL
        && ngx_array_init(all, r->pool, 2, sizeof(ngx_table_elt_t *))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    one = (ngx_table_elt_t **) ngx_array_push(all);
    if (one == NULL) {
        return NGX_ERROR;
    }

    *one = h;

#endif

    return NGX_OK;
}


/* filters look at the type alone; the charset is another field of nginx's */
static void
ngx_http_ffi_pass_type(ngx_http_request_t *r, bridge_field_t *f)
{
    u_char  *p, *semicolon, *last, *end;

    r->headers_out.content_type.data = (u_char *) f->value;
    r->headers_out.content_type.len = f->value_len;
    r->headers_out.content_type_len = f->value_len;
    r->headers_out.content_type_lowcase = NULL;

    last = (u_char *) f->value + f->value_len;

    for (p = (u_char *) f->value; p < last; p++) {

        if (*p != ';') {
            continue;
        }

        semicolon = p++;

        while (*p == ' ') {
            p++;
        }

        if (ngx_strncasecmp(p, (u_char *) "charset=", 8) != 0) {
            p--;
            continue;
        }

        p += 8;

        if (last - p >= 2 && *p == '"' && last[-1] == '"') {
            p++;
            last--;
        }

        for (end = p; end < last && *end != ';' && *end != ' '; end++) {
            /* void */
        }

        r->headers_out.content_type_len = semicolon
                                          - (u_char *) f->value;
        r->headers_out.charset.data = p;
        r->headers_out.charset.len = end - p;

        return;
    }
}


/*
 * Whether nginx may compare the client's conditions with the answer.  What a
 * method other than these has changed is changed, and what the answer does not
 * tell only the application can have compared.
 */
static ngx_uint_t
ngx_http_ffi_pass_has_conditions(ngx_http_request_t *r)
{
    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return 0;
    }

    if (r->headers_in.if_match && r->headers_out.etag == NULL) {
        return 0;
    }

    return r->headers_in.if_unmodified_since == NULL
           || r->headers_out.last_modified_time != -1;
}
