/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "file.h"
#include "ngx_http_ffi_lent.h"


/* bytes of a file's name in error.log */
#define NGX_HTTP_FFI_FILE_NAME  128


struct ngx_http_ffi_file_s {
    ngx_file_t  file;
    u_char      name[NGX_HTTP_FFI_FILE_NAME];
};


static ngx_chain_t *ngx_http_ffi_lent_new(ngx_http_request_t *r,
    ngx_chain_t **free);
static void ngx_http_ffi_lent_name(ngx_http_ffi_file_t *f);


ngx_chain_t *
ngx_http_ffi_lent_bytes(ngx_http_request_t *r, ngx_chain_t **free,
    const char *bytes, size_t len)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    cl = ngx_http_ffi_lent_new(r, free);
    if (cl == NULL) {
        return NULL;
    }

    b = cl->buf;

    b->start = (u_char *) bytes;
    b->end = b->start + len;
    b->pos = b->start;
    b->last = b->end;
    b->memory = 1;

    ((ngx_http_ffi_lent_t *) b)->size = (off_t) len;

    return cl;
}


ngx_chain_t *
ngx_http_ffi_lent_file(ngx_http_request_t *r, ngx_chain_t **free,
    bridge_part_t *part)
{
    ngx_buf_t            *b;
    ngx_chain_t          *cl;
    ngx_http_ffi_file_t  *f;
    ngx_http_ffi_lent_t  *lent;

    if (bridge_file_fd(part) == -1) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "FFI059: ffi: "
                      "a file to be sent got lost on its way: too many "
                      "are open");
        return NULL;
    }

    cl = ngx_http_ffi_lent_new(r, free);
    if (cl == NULL) {
        return NULL;
    }

    lent = (ngx_http_ffi_lent_t *) cl->buf;

    if (lent->file == NULL) {
        lent->file = ngx_palloc(r->pool, sizeof(ngx_http_ffi_file_t));

        if (lent->file == NULL) {
            return NULL;
        }
    }

    f = lent->file;

    ngx_memzero(&f->file, sizeof(ngx_file_t));
    f->file.fd = bridge_file_fd(part);
    f->file.log = r->connection->log;
    ngx_http_ffi_lent_name(f);

    b = cl->buf;

    b->in_file = 1;
    b->file = &f->file;
    b->file_pos = bridge_file_offset(part);
    b->file_last = b->file_pos + (off_t) part->len;

    lent->size = (off_t) part->len;

    return cl;
}


static ngx_chain_t *
ngx_http_ffi_lent_new(ngx_http_request_t *r, ngx_chain_t **free)
{
    ngx_chain_t          *cl;
    ngx_http_ffi_file_t  *file;
    ngx_http_ffi_lent_t  *lent;

    cl = *free;

    if (cl) {
        *free = cl->next;
        lent = (ngx_http_ffi_lent_t *) cl->buf;
        file = lent->file;

    } else {
        cl = ngx_alloc_chain_link(r->pool);
        lent = ngx_palloc(r->pool, sizeof(ngx_http_ffi_lent_t));
        file = NULL;

        if (cl == NULL || lent == NULL) {
            return NULL;
        }
    }

    ngx_memzero(lent, sizeof(ngx_http_ffi_lent_t));

    lent->file = file;
    lent->buf.tag = (ngx_buf_tag_t) &ngx_http_ffi_lent_bytes;

    cl->buf = &lent->buf;
    cl->next = NULL;

    return cl;
}


/* nginx names it where it cannot be read */
static void
ngx_http_ffi_lent_name(ngx_http_ffi_file_t *f)
{
    u_char   link[sizeof("/proc/self/fd/") + NGX_INT_T_LEN];
    ssize_t  n;

    *ngx_sprintf(link, "/proc/self/fd/%d", f->file.fd) = '\0';

    n = readlink((char *) link, (char *) f->name, NGX_HTTP_FFI_FILE_NAME - 1);

    if (n == -1) {
        n = ngx_sprintf(f->name, "a file") - f->name;
    }

    f->name[n] = '\0';
    f->file.name.data = f->name;
    f->file.name.len = (size_t) n;
}
