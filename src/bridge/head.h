/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_HEAD_H
#define BRIDGE_HEAD_H

/* The head of an answer to a web request, and its trailers, on their way up. */

#include "bridge.h"
#include "resty_ffi.h"

#pragma GCC visibility push(hidden)

/* bytes of names and values, and what each header costs */
#define BRIDGE_HEAD_MAX  1048576

/* each text has a NUL behind it */
typedef struct {
    const char      *name;
    const char      *lower;     /* the name in lower case */
    const char      *value;
    size_t           name_len;
    size_t           value_len;
} bridge_field_t;

/* comes up as BRIDGE_NODE_HEAD; one block */
typedef struct {
    bridge_node_t    node;
    uint64_t         task;      /* its handle */
    int              status;    /* 0: these are trailers; 103: hints */
    size_t           nfields;
    bridge_field_t   fields[];
} bridge_head_t;


/* Any thread.  As resty_ffi_send_head: 0, EINVAL, EPIPE or ENOMEM. */
int bridge_head_send(bridge_t *b, uint64_t handle, int status,
    const resty_ffi_header_t *headers, size_t n);

/* Any thread.  As resty_ffi_send_trailers: the same. */
int bridge_head_send_trailers(bridge_t *b, uint64_t handle,
    const resty_ffi_header_t *headers, size_t n);

/* Host thread.  Frees one that has come up. */
void bridge_head_free(bridge_head_t *h);

#pragma GCC visibility pop

#endif /* BRIDGE_HEAD_H */
