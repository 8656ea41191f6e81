/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_DEFLATE_H
#define PYTHON_DEFLATE_H

/*
 * Messages of permessage-deflate (RFC 7692), each by itself: no context goes
 * from one to the next.  So connections share what zlib needs, and keep none
 * of it.  One thread at a time may use it.
 */

#include <stddef.h>

typedef struct deflate_s  deflate_t;

/* bytes of a message at most, either way: zlib counts them in 32 bits */
#define DEFLATE_MAX  ((size_t) 1 << 30)

/* what a client may ask of the window: 8 is more than zlib can do */
#define DEFLATE_MIN_BITS  9
#define DEFLATE_MAX_BITS  15

/* NULL where memory ran out.  zlib's own comes with the first use. */
deflate_t *deflate_new(void);
void deflate_free(deflate_t *d);

/*
 * Compresses len bytes with a window of so many bits.  *out, *out_len: behind
 * room for `before` bytes, malloc'ed, the caller's.  0 or ENOMEM.
 */
int deflate_pack(deflate_t *d, int bits, const void *bytes, size_t len,
    size_t before, unsigned char **out, size_t *out_len);

/*
 * The other way.  0; EINVAL: these bytes are nothing that was compressed;
 * E2BIG: there are more than max, of which no more were made; ENOMEM.
 */
int deflate_unpack(deflate_t *d, const void *bytes, size_t len, size_t max,
    unsigned char **out, size_t *out_len);

#endif /* PYTHON_DEFLATE_H */
