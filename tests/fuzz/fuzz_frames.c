/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * What a client may send behind the handshake: any bytes, and cut anywhere.
 * The first two say how it is set up and cut; the rest has to come to the same
 * in one piece and in many.  What was a message goes out again and comes back.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "deflate.h"
#include "frames.h"


#define CHECK(what)  do { if (!(what)) { abort(); } } while (0)

/* of a message; some are smaller, so that there are too large ones */
static const size_t  max_sizes[] = { 0, 1, 125, 126, 200, 1000, 70000,
                                     1 << 24 };

/* what has come, one after the other */
typedef struct {
    unsigned char  *bytes;
    size_t          len;
    size_t          room;
} log_t;

typedef struct {
    frames_t   frames;
    deflate_t *deflate;
    log_t      log;
} run_t;


int LLVMFuzzerTestOneInput(const unsigned char *data, size_t len);


static void
note(log_t *log, const void *bytes, size_t len)
{
    unsigned char  *grown;

    if (log->room - log->len < len) {
        log->room = 2 * (log->len + len);

        grown = realloc(log->bytes, log->room);
        CHECK(grown);
        log->bytes = grown;
    }

    if (len) {
        memcpy(log->bytes + log->len, bytes, len);
        log->len += len;
    }
}


static void
note_number(log_t *log, size_t number)
{
    note(log, &number, sizeof(number));
}


/* as it is defined, and no faster */
static bool
is_utf8(const unsigned char *p, size_t len)
{
    unsigned  c, i, n;

    for ( /* void */ ; len; p += n, len -= n) {
        c = p[0];
        n = c < 0x80 ? 1 : c < 0xC0 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3
            : c < 0xF8 ? 4 : 0;

        if (n == 0 || n > len) {
            return false;
        }

        c &= n == 1 ? 0x7F : 0xFFU >> (n + 1);

        for (i = 1; i < n; i++) {
            if ((p[i] & 0xC0) != 0x80) {
                return false;
            }

            c = c << 6 | (p[i] & 0x3F);
        }

        if ((n == 2 && c < 0x80) || (n == 3 && c < 0x800)
            || (n == 4 && c < 0x10000) || c > 0x10FFFF
            || (c >= 0xD800 && c <= 0xDFFF))
        {
            return false;
        }
    }

    return true;
}


/* what goes out has no mask; here it gets one of zeros */
static void
come_back(frames_opcode_t opcode, bool compressed, const unsigned char *data,
    size_t len)
{
    size_t          n;
    frames_t        f = { .max_size = len, .deflate = compressed };
    unsigned char  *frame, *p, head[FRAMES_HEAD_MAX];

    n = frames_head(head, opcode, compressed, len);

    frame = calloc(1, n + 4 + len);
    CHECK(frame);

    memcpy(frame, head, n);
    frame[1] |= 0x80;

    if (len) {
        memcpy(frame + n + 4, data, len);
    }

    p = frame;

    CHECK(frames_next(&f, &p, frame + n + 4 + len) == FRAMES_GOT_MESSAGE);
    CHECK(p == frame + n + 4 + len && f.opcode == opcode && f.len == len);
    CHECK(f.compressed == compressed);
    CHECK(len == 0 || memcmp(f.data, data, len) == 0);

    frames_clear(&f);
    free(frame);
}


static void
pack_again(run_t *run, const unsigned char *data, size_t len)
{
    int             bits;
    size_t          packed_len, again_len;
    unsigned char  *packed, *again;

    bits = DEFLATE_MIN_BITS
           + (int) (len % (DEFLATE_MAX_BITS - DEFLATE_MIN_BITS + 1));

    CHECK(deflate_pack(run->deflate, bits, data, len, 3, &packed, &packed_len)
          == 0);
    come_back(FRAMES_BINARY, true, packed + 3, packed_len);

    CHECK(deflate_unpack(run->deflate, packed + 3, packed_len, len, &again,
                         &again_len)
          == 0);
    CHECK(again_len == len && (len == 0 || memcmp(again, data, len) == 0));
    free(again);

    if (len) {
        CHECK(deflate_unpack(run->deflate, packed + 3, packed_len, len - 1,
                             &again, &again_len)
              == E2BIG);
    }

    free(packed);
}


static void
take_message(run_t *run)
{
    int             rc;
    size_t          len;
    frames_t       *f = &run->frames;
    unsigned char  *data;

    CHECK(f->len <= f->max_size);
    CHECK(f->opcode == FRAMES_TEXT || f->opcode == FRAMES_BINARY);

    note_number(&run->log, f->opcode);
    note_number(&run->log, f->len);
    note(&run->log, f->data, f->len);

    if (!f->compressed) {
        CHECK(f->opcode != FRAMES_TEXT || is_utf8(f->data, f->len));
        come_back(f->opcode, false, f->data, f->len);
        return;
    }

    CHECK(f->deflate);

    rc = deflate_unpack(run->deflate, f->data, f->len, f->max_size, &data,
                        &len);
    note_number(&run->log, (size_t) rc);

    if (rc == 0) {
        CHECK(len <= f->max_size);
        note_number(&run->log, len);
        note(&run->log, data, len);

        if (len < 100000) {
            pack_again(run, data, len);
        }

        free(data);
    }
}


static void
take_control(run_t *run)
{
    frames_t  *f = &run->frames;

    CHECK(f->len <= FRAMES_CONTROL);

    note_number(&run->log, f->opcode);
    note(&run->log, f->data, f->len);

    if (f->opcode == FRAMES_CLOSE) {
        CHECK(f->code == FRAMES_NO_CODE || frames_is_code(f->code));
        CHECK(is_utf8(f->data, f->len));
        note_number(&run->log, (size_t) f->code);
    }
}


/* a copy, as it is changed, and with an end that ASan knows */
static void
give(run_t *run, const unsigned char *data, size_t len)
{
    unsigned char  *part, *p;

    part = malloc(len ? len : 1);
    CHECK(part);

    if (len) {
        memcpy(part, data, len);
    }

    p = part;

    for ( ;; ) {
        switch (frames_next(&run->frames, &p, part + len)) {

        case FRAMES_GOT_NOTHING:
            CHECK(p == part + len);
            free(part);
            return;

        case FRAMES_GOT_MESSAGE:
            take_message(run);
            break;

        case FRAMES_GOT_CONTROL:
            take_control(run);
            break;

        default: /* FRAMES_FAILED */
            note_number(&run->log, (size_t) run->frames.code);
            CHECK(run->frames.code == FRAMES_PROTOCOL
                  || run->frames.code == FRAMES_BAD_TEXT
                  || run->frames.code == FRAMES_TOO_BIG);
        }
    }
}


static void
end(run_t *run)
{
    frames_clear(&run->frames);
    deflate_free(run->deflate);
    free(run->log.bytes);
}


int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
    size_t    at, n;
    run_t     whole, cut;
    unsigned  how;

    if (len < 2) {
        return 0;
    }

    memset(&whole, 0, sizeof(run_t));
    whole.frames.deflate = (data[0] & 1) != 0;
    whole.frames.max_size = max_sizes[data[0] >> 5];
    cut = whole;

    whole.deflate = deflate_new();
    cut.deflate = deflate_new();
    CHECK(whole.deflate && cut.deflate);

    how = data[1];
    data += 2;
    len -= 2;

    give(&whole, data, len);

    for (at = 0; at < len; at += n) {
        how = how * 1103515245U + 12345;
        n = 1 + (how >> 16) % (how & 0x100000 ? 4 : 40);
        n = n < len - at ? n : len - at;

        give(&cut, data + at, n);
    }

    CHECK(whole.log.len == cut.log.len);
    CHECK(whole.log.len == 0
          || memcmp(whole.log.bytes, cut.log.bytes, whole.log.len) == 0);

    end(&whole);
    end(&cut);

    return 0;
}
