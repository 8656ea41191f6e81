/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include <errno.h>

#include "abi.h"
#include "ngx_http_ffi_body.h"
#include "ngx_http_ffi_status_block.h"


int
ngx_http_ffi_body_write(bridge_task_t *t, ngx_buf_t *b, off_t offset,
    size_t *len)
{
    int      rc;
    u_char  *bytes, piece[NGX_HTTP_FFI_BODY_PIECE];

    *len = (size_t) ngx_min(ngx_buf_size(b) - offset,
                            NGX_HTTP_FFI_BODY_PIECE);

    if (ngx_buf_in_memory(b)) {
        bytes = b->pos + offset;

    } else {
        bytes = piece;

        if (ngx_read_file(b->file, piece, *len, b->file_pos + offset)
            != (ssize_t) *len)
        {
            return EIO;
        }
    }

    rc = bridge_stream_write(bridge_host(), t, (char *) bytes, *len);

    if (rc == 0) {
        ngx_http_ffi_status_in(t, *len);
    }

    return rc;
}


void
ngx_http_ffi_body_hold(ngx_event_t *rev)
{
    /* it is not the client that is slow */

    if (rev->timer_set) {
        ngx_del_timer(rev);
    }

    if ((ngx_event_flags & NGX_USE_LEVEL_EVENT) && rev->active) {
        (void) ngx_del_event(rev, NGX_READ_EVENT, 0);
    }
}


ngx_uint_t
ngx_http_ffi_body_client_gone(ngx_http_request_t *r)
{
    u_char             byte;
    ssize_t            n;
    ngx_connection_t  *c;

    c = r->connection;

    if (c->error || r->http_version > NGX_HTTP_VERSION_11) {
        return c->error;
    }

    n = recv(c->fd, &byte, 1, MSG_PEEK);

#if (NGX_HTTP_SSL)

    /* OpenSSL may have more than the socket */

    if (n == 0 && c->ssl) {
        return 0;
    }

#endif

    if (n > 0 || (n == -1 && ngx_socket_errno == NGX_EAGAIN)) {
        return 0;
    }

    c->error = 1;

    return 1;
}
