/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <stdlib.h>

#include "abi.h"
#include "ngx_http_ffi_pass_conf.h"
#include "ngx_http_ffi_pass_head.h"
#include "ngx_http_ffi_pass_tls.h"
#include "resty_ffi.h"


typedef struct {
    ngx_str_t   method;
    ngx_str_t   path;
    ngx_str_t   raw_path;
    ngx_str_t   query;
    ngx_str_t   protocol;
    ngx_str_t   scheme;
    ngx_str_t   client;
    ngx_str_t   server;
    ngx_str_t   root_path;
    ngx_str_t  *params;     /* values */
    ngx_uint_t  nparams;
    ngx_uint_t  client_port;
    ngx_uint_t  server_port;
    u_char      protocol_buf[NGX_INT_T_LEN * 2];

    ngx_http_ffi_pass_tls_t  tls;
} ngx_http_ffi_line_t;

typedef struct {
    socklen_t       socklen;
    ngx_sockaddr_t  sockaddr;
    size_t          len;
    u_char          text[NGX_SOCKADDR_STRLEN];
} ngx_http_ffi_address_t;


static ngx_uint_t ngx_http_ffi_pass_is_counted(ngx_http_request_t *r);
static ngx_int_t ngx_http_ffi_pass_line(ngx_http_request_t *r,
    ngx_http_ffi_line_t *line);
static void ngx_http_ffi_pass_protocol(ngx_http_request_t *r,
    ngx_http_ffi_line_t *line);
static void ngx_http_ffi_pass_server(ngx_connection_t *c, ngx_str_t *text);
static ngx_int_t ngx_http_ffi_pass_params(ngx_http_request_t *r,
    ngx_http_ffi_line_t *line, ngx_array_t *params);
static ngx_int_t ngx_http_ffi_pass_raw_path(ngx_http_request_t *r,
    ngx_str_t *path);
static ngx_table_elt_t *ngx_http_ffi_pass_next(ngx_list_part_t **part,
    ngx_uint_t *i, ngx_uint_t has_body);
static ngx_uint_t ngx_http_ffi_pass_is_of_body(ngx_table_elt_t *h);
static u_char *ngx_http_ffi_pass_put(u_char *p, resty_ffi_head_t *head,
    resty_ffi_text_t *text, u_char *data, size_t len);


bridge_task_t *
ngx_http_ffi_pass_task(ngx_http_request_t *r, ngx_uint_t has_body,
    uint32_t flags)
{
    size_t                size;
    u_char               *p;
    uint32_t              n;
    ngx_str_t             host, length;
    ngx_uint_t            i;
    bridge_task_t        *t;
    ngx_table_elt_t      *h;
    ngx_list_part_t      *part;
    resty_ffi_head_t     *head;
    resty_ffi_field_t    *field, *params;
    ngx_http_ffi_line_t   line;
    u_char                length_buf[NGX_OFF_T_LEN];

    static ngx_str_t               host_name = ngx_string("host");
    static ngx_str_t               name = ngx_string("content-length");
    ngx_http_ffi_pass_param_t     *param;
    ngx_http_ffi_pass_loc_conf_t  *plcf;

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_ffi_pass_module);

    if (ngx_http_ffi_pass_line(r, &line) != NGX_OK
        || ngx_http_ffi_pass_params(r, &line, plcf->params) != NGX_OK
        || ngx_http_ffi_pass_tls(r, &line.tls) != NGX_OK)
    {
        return NULL;
    }

    line.root_path = plcf->root_path;
    param = line.nparams ? plcf->params->elts : NULL;

    /* those of the body are there where it is nothing, too */

    has_body |= r->headers_in.content_length_n == 0;

    n = 0;
    ngx_str_null(&host);
    ngx_str_null(&length);

    if (r->headers_in.host == NULL && r->http_version >= NGX_HTTP_VERSION_20
        && r->host_start)
    {
        /* HTTP/3 has it as :authority, of which nginx makes no field */

        host.data = r->host_start;
        host.len = r->host_end - r->host_start;
    }

    if (host.len) {
        n++;
    }

    if (has_body && ngx_http_ffi_pass_is_counted(r)) {
        length.data = length_buf;
        length.len = ngx_sprintf(length_buf, "%O",
                                 r->headers_in.content_length_n)
                     - length_buf;
        has_body = 0;
        n++;
    }

    size = sizeof(resty_ffi_head_t)
           + line.method.len + 1 + line.path.len + 1 + line.raw_path.len + 1
           + line.query.len + 1 + line.protocol.len + 1 + line.scheme.len + 1
           + line.client.len + 1 + line.server.len + 1
           + line.root_path.len + 1
           + line.tls.client_cert.len + 1 + line.tls.client_name.len + 1
           + line.tls.client_error.len + 1;

    if (host.len) {
        size += sizeof(resty_ffi_field_t) + host_name.len + 1 + host.len + 1;
    }

    if (length.len) {
        size += sizeof(resty_ffi_field_t) + name.len + 1 + length.len + 1;
    }

    part = &r->headers_in.headers.part;
    i = 0;

    while ((h = ngx_http_ffi_pass_next(&part, &i, has_body)) != NULL) {
        size += sizeof(resty_ffi_field_t) + h->key.len + 1 + h->value.len + 1;
        n++;
    }

    for (i = 0; i < line.nparams; i++) {
        size += sizeof(resty_ffi_field_t) + param[i].name.len + 1
                + line.params[i].len + 1;
    }

    if (size > NGX_MAX_INT32_VALUE) {
        return NULL;
    }

    head = malloc(size + 1);
    if (head == NULL) {
        return NULL;
    }

    head->version = 2;
    head->size = (uint32_t) size;
    head->client_port = (uint32_t) line.client_port;
    head->server_port = (uint32_t) line.server_port;
    head->nfields = n;
    head->fields = sizeof(resty_ffi_head_t);
    head->tls.version = (uint32_t) line.tls.version;
    head->tls.cipher = (uint32_t) line.tls.cipher;
    head->flags = flags;
    head->nparams = (uint32_t) line.nparams;
    head->params = (uint32_t) (sizeof(resty_ffi_head_t)
                               + n * sizeof(resty_ffi_field_t));

    field = (resty_ffi_field_t *) (head + 1);
    params = field + n;
    p = (u_char *) (params + line.nparams);

#define PUT(name)                                                             \
    p = ngx_http_ffi_pass_put(p, head, &head->name, line.name.data,           \
                              line.name.len)

    PUT(method);
    PUT(path);
    PUT(raw_path);
    PUT(query);
    PUT(protocol);
    PUT(scheme);
    PUT(client);
    PUT(server);
    PUT(root_path);
    PUT(tls.client_cert);
    PUT(tls.client_name);
    PUT(tls.client_error);

    for (i = 0; i < line.nparams; i++) {
        p = ngx_http_ffi_pass_put(p, head, &params[i].name,
                                  param[i].name.data, param[i].name.len);
        p = ngx_http_ffi_pass_put(p, head, &params[i].value,
                                  line.params[i].data, line.params[i].len);
    }

    if (host.len) {
        p = ngx_http_ffi_pass_put(p, head, &field->name, host_name.data,
                                  host_name.len);
        p = ngx_http_ffi_pass_put(p, head, &field->value, host.data,
                                  host.len);
        field++;
    }

    part = &r->headers_in.headers.part;
    i = 0;

    while ((h = ngx_http_ffi_pass_next(&part, &i, has_body)) != NULL) {
        p = ngx_http_ffi_pass_put(p, head, &field->name, h->lowcase_key,
                                  h->key.len);
        p = ngx_http_ffi_pass_put(p, head, &field->value, h->value.data,
                                  h->value.len);
        field++;
    }

    if (length.len) {
        p = ngx_http_ffi_pass_put(p, head, &field->name, name.data, name.len);
        p = ngx_http_ffi_pass_put(p, head, &field->value, length.data,
                                  length.len);
    }

    *p = '\0';

    t = bridge_task_new_web(bridge_host(), (char *) head, size);
    if (t == NULL) {
        free(head);
    }

    return t;
}


/* whether nginx knows by now how long a body is of which nobody has said */
static ngx_uint_t
ngx_http_ffi_pass_is_counted(ngx_http_request_t *r)
{
    return r->headers_in.content_length == NULL
           && r->headers_in.content_length_n >= 0
           && r->request_body
           && !r->reading_body;
}


static ngx_int_t
ngx_http_ffi_pass_line(ngx_http_request_t *r, ngx_http_ffi_line_t *line)
{
    ngx_connection_t  *c;

    c = r->connection;

    line->method = r->method_name;
    line->path = r->uri;
    line->query = r->args;

    if (ngx_http_ffi_pass_raw_path(r, &line->raw_path) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_ffi_pass_protocol(r, line);

    ngx_str_set(&line->scheme, "http");

#if (NGX_HTTP_SSL)
    if (c->ssl) {
        ngx_str_set(&line->scheme, "https");
    }
#endif

    line->client = c->addr_text;
    line->client_port = ngx_inet_get_port(c->sockaddr);

    if (ngx_connection_local_sockaddr(c, NULL, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_ffi_pass_server(c, &line->server);
    line->server_port = ngx_inet_get_port(c->local_sockaddr);

    return NGX_OK;
}


static void
ngx_http_ffi_pass_protocol(ngx_http_request_t *r, ngx_http_ffi_line_t *line)
{
    switch (r->http_version) {

    case NGX_HTTP_VERSION_10:
        ngx_str_set(&line->protocol, "1.0");
        return;

    case NGX_HTTP_VERSION_11:
        ngx_str_set(&line->protocol, "1.1");
        return;

    case NGX_HTTP_VERSION_20:
        ngx_str_set(&line->protocol, "2");
        return;

    default:
        break;
    }

    line->protocol.data = line->protocol_buf;
    line->protocol.len =
        (r->http_version < 2000
         ? ngx_sprintf(line->protocol_buf, "%ui.%ui", r->http_version / 1000,
                       r->http_version % 1000)
         : ngx_sprintf(line->protocol_buf, "%ui", r->http_version / 1000))
        - line->protocol_buf;
}


/* mostly it is that of the request before; it is there until the next one */
static void
ngx_http_ffi_pass_server(ngx_connection_t *c, ngx_str_t *text)
{
    static ngx_http_ffi_address_t  last;

    if (c->local_socklen != last.socklen
        || ngx_memcmp(c->local_sockaddr, &last.sockaddr, last.socklen) != 0)
    {
        last.len = ngx_sock_ntop(c->local_sockaddr, c->local_socklen,
                                 last.text, NGX_SOCKADDR_STRLEN, 0);

        last.socklen = ngx_min(c->local_socklen, sizeof(ngx_sockaddr_t));
        ngx_memcpy(&last.sockaddr, c->local_sockaddr, last.socklen);
    }

    text->data = last.text;
    text->len = last.len;
}


/* their values, for this request */
static ngx_int_t
ngx_http_ffi_pass_params(ngx_http_request_t *r, ngx_http_ffi_line_t *line,
    ngx_array_t *params)
{
    ngx_uint_t                  i;
    ngx_http_ffi_pass_param_t  *param;

    line->nparams = params ? params->nelts : 0;

    if (line->nparams == 0) {
        return NGX_OK;
    }

    line->params = ngx_palloc(r->pool, line->nparams * sizeof(ngx_str_t));
    if (line->params == NULL) {
        return NGX_ERROR;
    }

    param = params->elts;

    for (i = 0; i < line->nparams; i++) {
        if (ngx_http_complex_value(r, &param[i].value, &line->params[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ffi_pass_raw_path(ngx_http_request_t *r, ngx_str_t *path)
{
    size_t     n;
    uintptr_t  escape;

    if (r->valid_unparsed_uri) {
        *path = r->unparsed_uri;

        for (n = 0; n < path->len; n++) {
            if (path->data[n] == '?' || path->data[n] == '#') {
                break;
            }
        }

        path->len = n;

        return NGX_OK;
    }

    *path = r->uri;

    escape = 2 * ngx_escape_uri(NULL, r->uri.data, r->uri.len,
                                NGX_ESCAPE_URI);
    if (escape == 0) {
        return NGX_OK;
    }

    path->len = r->uri.len + escape;
    path->data = ngx_pnalloc(r->pool, path->len);
    if (path->data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_escape_uri(path->data, r->uri.data, r->uri.len,
                          NGX_ESCAPE_URI);

    return NGX_OK;
}


/* the next field to be passed on; NULL after the last one */
static ngx_table_elt_t *
ngx_http_ffi_pass_next(ngx_list_part_t **part, ngx_uint_t *i,
    ngx_uint_t has_body)
{
    ngx_table_elt_t  *h;

    for ( ;; ) {

        if (*i >= (*part)->nelts) {
            if ((*part)->next == NULL) {
                return NULL;
            }

            *part = (*part)->next;
            *i = 0;
            continue;
        }

        h = (ngx_table_elt_t *) (*part)->elts + (*i)++;

        /* other modules take one out so */

        if (h->hash && (has_body || !ngx_http_ffi_pass_is_of_body(h))) {
            return h;
        }
    }
}


static ngx_uint_t
ngx_http_ffi_pass_is_of_body(ngx_table_elt_t *h)
{
    static ngx_str_t  length = ngx_string("content-length");
    static ngx_str_t  encoding = ngx_string("transfer-encoding");

    return (h->key.len == length.len
            && ngx_memcmp(h->lowcase_key, length.data, length.len) == 0)
           || (h->key.len == encoding.len
               && ngx_memcmp(h->lowcase_key, encoding.data, encoding.len)
                  == 0);
}


static u_char *
ngx_http_ffi_pass_put(u_char *p, resty_ffi_head_t *head,
    resty_ffi_text_t *text, u_char *data, size_t len)
{
    text->offset = (uint32_t) (p - (u_char *) head);
    text->len = (uint32_t) len;

    if (len) {
        p = ngx_cpymem(p, data, len);
    }

    *p++ = '\0';

    return p;
}
