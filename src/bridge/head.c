/* SPDX-License-Identifier: BSD-2-Clause */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "head.h"
#include "send.h"


/* of ASCII, whatever the locale */
static bool
is_token(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c >= '0' && c <= '9')
           || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}


static bool
is_name(const char *name, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        if (!is_token((unsigned char) name[i])) {
            return false;
        }
    }

    return len > 0;
}


static bool
is_value(const char *value, size_t len)
{
    return len == 0
           || (memchr(value, '\r', len) == NULL
               && memchr(value, '\n', len) == NULL
               && memchr(value, '\0', len) == NULL);
}


/* the bytes of all, 0 if they are not good */
static size_t
size_of(const resty_ffi_header_t *headers, size_t n)
{
    size_t                     i, size;
    const resty_ffi_header_t  *h;

    size = sizeof(bridge_head_t);

    for (i = 0; i < n; i++) {
        h = &headers[i];

        if (h->name_len > BRIDGE_HEAD_MAX
            || h->value_len > BRIDGE_HEAD_MAX
            || !is_name(h->name, h->name_len)
            || !is_value(h->value, h->value_len))
        {
            return 0;
        }

        size += sizeof(bridge_field_t) + 2 * (h->name_len + 1)
                + h->value_len + 1;

        if (size > BRIDGE_HEAD_MAX) {
            return 0;
        }
    }

    return size;
}


static char *
copy(char *p, const char *text, size_t len)
{
    if (len) {
        memcpy(p, text, len);
    }

    p[len] = '\0';

    return p + len + 1;
}


static char *
copy_lower(char *p, const char *text, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        p[i] = text[i];

        if (text[i] >= 'A' && text[i] <= 'Z') {
            p[i] |= 0x20;
        }
    }

    p[len] = '\0';

    return p + len + 1;
}


static int
send(bridge_t *b, uint64_t handle, int status,
    const resty_ffi_header_t *headers, size_t n)
{
    int                        rc;
    char                      *p;
    size_t                     i, size;
    bridge_head_t             *head;
    bridge_field_t            *f;
    const resty_ffi_header_t  *h;

    size = size_of(headers, n);
    if (size == 0) {
        return EINVAL;
    }

    head = malloc(size);
    if (head == NULL) {
        return ENOMEM;
    }

    head->node.kind = BRIDGE_NODE_HEAD;
    head->task = handle;
    head->status = status;
    head->nfields = n;

    p = (char *) &head->fields[n];

    for (i = 0; i < n; i++) {
        h = &headers[i];
        f = &head->fields[i];

        f->name = p;
        f->name_len = h->name_len;
        p = copy(p, h->name, h->name_len);

        f->lower = p;
        p = copy_lower(p, h->name, h->name_len);

        f->value = p;
        f->value_len = h->value_len;
        p = copy(p, h->value, h->value_len);
    }

    rc = bridge_stream_head(b, handle, &head->node, status);

    if (rc != 0) {
        bridge_head_free(head);
    }

    return rc;
}


int
bridge_head_send(bridge_t *b, uint64_t handle, int status,
    const resty_ffi_header_t *headers, size_t n)
{
    if ((status < 200 || status > 999) && status != BRIDGE_HEAD_HINTS
        && status != BRIDGE_HEAD_UPGRADE)
    {
        return EINVAL;
    }

    return send(b, handle, status, headers, n);
}


int
bridge_head_send_trailers(bridge_t *b, uint64_t handle,
    const resty_ffi_header_t *headers, size_t n)
{
    return send(b, handle, 0, headers, n);
}


void
bridge_head_free(bridge_head_t *h)
{
    free(h);
}
