/* SPDX-License-Identifier: BSD-2-Clause */

#include "deflate.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>


#define MEMORY_LEVEL  8

/* what each message ends with, and is sent without */
#define TAIL  "\x00\x00\xff\xff"

#define TAIL_LEN  4

/* the first guess at how much larger a message is than what it came as */
#define GROWTH    4
#define MIN_ROOM  256


struct deflate_s {
    z_stream  packer[DEFLATE_MAX_BITS - DEFLATE_MIN_BITS + 1];
    z_stream  unpacker;
    bool      packs[DEFLATE_MAX_BITS - DEFLATE_MIN_BITS + 1];
    bool      unpacks;
};


/* what is made */
typedef struct {
    unsigned char  *bytes;
    size_t          len;
    size_t          room;
} output_t;


deflate_t *
deflate_new(void)
{
    return calloc(1, sizeof(deflate_t));
}


void
deflate_free(deflate_t *d)
{
    int  i;

    if (d == NULL) {
        return;
    }

    for (i = 0; i <= DEFLATE_MAX_BITS - DEFLATE_MIN_BITS; i++) {
        if (d->packs[i]) {
            (void) deflateEnd(&d->packer[i]);
        }
    }

    if (d->unpacks) {
        (void) inflateEnd(&d->unpacker);
    }

    free(d);
}


static z_stream *
packer_of(deflate_t *d, int bits)
{
    int        i;
    z_stream  *z;

    i = bits - DEFLATE_MIN_BITS;
    z = &d->packer[i];

    if (d->packs[i]) {
        return deflateReset(z) == Z_OK ? z : NULL;
    }

    if (deflateInit2(z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -bits,
                     MEMORY_LEVEL, Z_DEFAULT_STRATEGY)
        != Z_OK)
    {
        return NULL;
    }

    d->packs[i] = true;

    return z;
}


int
deflate_pack(deflate_t *d, int bits, const void *bytes, size_t len,
    size_t before, unsigned char **out, size_t *out_len)
{
    size_t          room;
    z_stream       *z;
    unsigned char  *packed;

    z = packer_of(d, bits);
    if (z == NULL) {
        return ENOMEM;
    }

    /* and what a flush adds */

    room = deflateBound(z, len) + 16;

    packed = malloc(before + room);
    if (packed == NULL) {
        return ENOMEM;
    }

    z->next_in = (Bytef *) bytes;
    z->avail_in = (uInt) len;
    z->next_out = packed + before;
    z->avail_out = (uInt) room;

    if (deflate(z, Z_SYNC_FLUSH) != Z_OK || z->avail_in || z->avail_out == 0) {
        free(packed);
        return ENOMEM;
    }

    *out = packed;
    *out_len = room - z->avail_out - TAIL_LEN;

    return 0;
}


static bool
reserve(output_t *o, size_t max)
{
    size_t          room;
    unsigned char  *bytes;

    if (o->len < o->room) {
        return true;
    }

    /* one more than there may be tells of too many */

    room = o->room * 2 < max + 1 ? o->room * 2 : max + 1;

    bytes = realloc(o->bytes, room);
    if (bytes == NULL) {
        return false;
    }

    o->bytes = bytes;
    o->room = room;

    return true;
}


/* 0, or as of deflate_unpack */
static int
unpack_some(z_stream *z, const void *bytes, size_t len, size_t max,
    output_t *o)
{
    int     rc;
    size_t  room;

    z->next_in = (Bytef *) bytes;
    z->avail_in = (uInt) len;

    do {
        if (!reserve(o, max)) {
            return ENOMEM;
        }

        room = o->room - o->len;

        z->next_out = o->bytes + o->len;
        z->avail_out = (uInt) room;

        rc = inflate(z, Z_SYNC_FLUSH);

        o->len += room - z->avail_out;

        if (o->len > max) {
            return E2BIG;
        }

        /* a client may end one stream and begin another */

        if (rc == Z_STREAM_END) {
            rc = inflateReset(z);
        }

        if (rc == Z_MEM_ERROR) {
            return ENOMEM;
        }

        if (rc != Z_OK && rc != Z_BUF_ERROR) {
            return EINVAL;
        }

    } while (z->avail_in || z->avail_out == 0);

    return 0;
}


int
deflate_unpack(deflate_t *d, const void *bytes, size_t len, size_t max,
    unsigned char **out, size_t *out_len)
{
    int        rc;
    output_t   o;
    z_stream  *z;

    z = &d->unpacker;

    if (d->unpacks) {
        (void) inflateReset(z);

    } else if (inflateInit2(z, -DEFLATE_MAX_BITS) == Z_OK) {
        d->unpacks = true;

    } else {
        return ENOMEM;
    }

    o.len = 0;
    o.room = len < max / GROWTH ? len * GROWTH : max;
    o.room = o.room < MIN_ROOM ? MIN_ROOM : o.room;
    o.bytes = malloc(o.room);

    if (o.bytes == NULL) {
        return ENOMEM;
    }

    rc = unpack_some(z, bytes, len, max, &o);

    if (rc == 0) {
        rc = unpack_some(z, TAIL, TAIL_LEN, max, &o);
    }

    if (rc) {
        free(o.bytes);
        return rc;
    }

    *out = o.bytes;
    *out_len = o.len;

    return 0;
}
