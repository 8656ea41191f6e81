/* SPDX-License-Identifier: BSD-2-Clause */

#include "frames.h"

#include <stdlib.h>
#include <string.h>


/* of the first two bytes of a frame */
#define FIN     0x80
#define RSV1    0x40
#define RSV     0x70
#define OPCODE  0x0F
#define MASKED  0x80
#define LENGTH  0x7F

#define LENGTH_16  126
#define LENGTH_64  127

#define MIN_BUF  1024


static frames_got_t
fail(frames_t *f, int code)
{
    f->code = code;
    f->ended = true;
    f->data = NULL;
    f->len = 0;

    return FRAMES_FAILED;
}


static bool
is_control(unsigned char opcode)
{
    return (opcode & 0x8) != 0;
}


/* bytes before the payload, of a frame whose first two have come */
static unsigned
head_size(const frames_t *f)
{
    unsigned char  len;

    len = f->head[1] & LENGTH;

    return 2 + (len == LENGTH_16 ? 2 : len == LENGTH_64 ? 8 : 0) + 4;
}


/* the first two bytes: whether such a frame may come now */
static bool
is_allowed(const frames_t *f)
{
    unsigned char  opcode, rsv;

    opcode = f->head[0] & OPCODE;
    rsv = f->head[0] & RSV;

    if (!(f->head[1] & MASKED)) {
        return false;
    }

    switch (opcode) {

    case FRAMES_CLOSE:
    case FRAMES_PING:
    case FRAMES_PONG:
        return rsv == 0 && (f->head[0] & FIN)
               && (f->head[1] & LENGTH) <= FRAMES_CONTROL;

    case FRAMES_CONTINUATION:
        return rsv == 0 && f->message;

    case FRAMES_TEXT:
    case FRAMES_BINARY:
        return (rsv == 0 || (rsv == RSV1 && f->deflate)) && !f->message;

    default:
        return false;
    }
}


static uint64_t
payload_size(const frames_t *f)
{
    unsigned       i, n;
    uint64_t       len;
    unsigned char  first;

    first = f->head[1] & LENGTH;

    if (first < LENGTH_16) {
        return first;
    }

    n = first == LENGTH_16 ? 2 : 8;
    len = 0;

    for (i = 0; i < n; i++) {
        len = len << 8 | f->head[2 + i];
    }

    return len;
}


/* whether its size is written as RFC 6455 has it */
static bool
is_shortest(const frames_t *f)
{
    switch (f->head[1] & LENGTH) {

    case LENGTH_16:
        return f->left >= LENGTH_16;

    case LENGTH_64:
        return f->left > UINT16_MAX && f->left >> 63 == 0;

    default:
        return true;
    }
}


/* the head has come; 0, or the code for which it is refused */
static int
begin_payload(frames_t *f)
{
    f->left = payload_size(f);

    if (!is_shortest(f)) {
        return FRAMES_PROTOCOL;
    }

    f->frame = f->head[0] & OPCODE;
    f->fin = (f->head[0] & FIN) != 0;

    memcpy(f->mask, f->head + f->nhead - 4, 4);

    f->nhead = 0;
    f->in_payload = true;

    if (is_control(f->frame)) {
        f->ncontrol = 0;
        return 0;
    }

    if (f->left > f->max_size - f->buf_len) {
        return FRAMES_TOO_BIG;
    }

    if (f->frame != FRAMES_CONTINUATION) {
        f->message = f->frame;
        f->packed = (f->head[0] & RSV1) != 0;
        memset(&f->utf8, 0, sizeof(utf8_t));
    }

    return 0;
}


/* 0, with the head or without more bytes; or a code */
static int
take_head(frames_t *f, unsigned char **p, unsigned char *end)
{
    unsigned  size;

    while (*p < end) {
        f->head[f->nhead++] = *(*p)++;

        if (f->nhead == 2 && !is_allowed(f)) {
            return FRAMES_PROTOCOL;
        }

        if (f->nhead < 2) {
            continue;
        }

        size = head_size(f);

        if (f->nhead == size) {
            return begin_payload(f);
        }
    }

    return 0;
}


/* turns the mask on, too */
static void
unmask(frames_t *f, unsigned char *to, const unsigned char *from, size_t len)
{
    size_t         i;
    uint64_t       mask, word;
    unsigned char  turned[4];

    for (i = 0; i < 8; i++) {
        ((unsigned char *) &mask)[i] = f->mask[i % 4];
    }

    for (i = 0; i + 8 <= len; i += 8) {
        memcpy(&word, from + i, 8);
        word ^= mask;
        memcpy(to + i, &word, 8);
    }

    for ( /* void */ ; i < len; i++) {
        to[i] = from[i] ^ f->mask[i % 4];
    }

    for (i = 0; i < 4; i++) {
        turned[i] = f->mask[(i + len) % 4];
    }

    memcpy(f->mask, turned, 4);
}


/* for what has come, and not for what is announced */
static bool
reserve(frames_t *f, size_t len)
{
    size_t          size;
    unsigned char  *buf;

    if (len <= f->buf_size - f->buf_len) {
        return true;
    }

    size = f->buf_size ? f->buf_size : MIN_BUF;

    while (size - f->buf_len < len) {
        size *= 2;
    }

    buf = realloc(f->buf, size);
    if (buf == NULL) {
        return false;
    }

    f->buf = buf;
    f->buf_size = size;

    return true;
}


static bool
is_text(const frames_t *f)
{
    return f->message == FRAMES_TEXT && !f->packed;
}


static frames_got_t
end_message(frames_t *f, unsigned char *data, size_t len)
{
    if (is_text(f) && f->utf8.left) {
        return fail(f, FRAMES_BAD_TEXT);
    }

    f->opcode = f->message;
    f->compressed = f->packed;
    f->data = data;
    f->len = len;

    f->message = 0;
    f->buf_len = 0;

    return FRAMES_GOT_MESSAGE;
}


static frames_got_t
take_data(frames_t *f, unsigned char **p, unsigned char *end)
{
    size_t          n;
    unsigned char  *data;

    n = (uint64_t) (end - *p) < f->left ? (size_t) (end - *p)
                                        : (size_t) f->left;

    /* what is there as a whole stays where it is */

    if (n == 0 || (n == f->left && f->fin && f->buf_len == 0)) {
        data = *p;

    } else if (reserve(f, n)) {
        data = f->buf + f->buf_len;
        f->buf_len += n;

    } else {
        return fail(f, FRAMES_INTERNAL);
    }

    unmask(f, data, *p, n);

    *p += n;
    f->left -= n;

    if (is_text(f) && !utf8_feed(&f->utf8, data, n)) {
        return fail(f, FRAMES_BAD_TEXT);
    }

    if (f->left) {
        return FRAMES_GOT_NOTHING;
    }

    f->in_payload = false;

    if (!f->fin) {
        return FRAMES_GOT_NOTHING;
    }

    return f->buf_len ? end_message(f, f->buf, f->buf_len)
                      : end_message(f, data, n);
}


static frames_got_t
end_control(frames_t *f)
{
    utf8_t  utf8;

    f->opcode = f->frame;
    f->data = f->control;
    f->len = f->ncontrol;

    if (f->opcode != FRAMES_CLOSE) {
        return FRAMES_GOT_CONTROL;
    }

    if (f->len == 0) {
        f->code = FRAMES_NO_CODE;

    } else {
        f->code = f->len == 1 ? 0 : f->data[0] << 8 | f->data[1];

        if (!frames_is_code(f->code)) {
            return fail(f, FRAMES_PROTOCOL);
        }

        f->data += 2;
        f->len -= 2;

        memset(&utf8, 0, sizeof(utf8_t));

        if (!utf8_feed(&utf8, f->data, f->len) || utf8.left) {
            return fail(f, FRAMES_BAD_TEXT);
        }
    }

    f->ended = true;

    return FRAMES_GOT_CONTROL;
}


static frames_got_t
take_control(frames_t *f, unsigned char **p, unsigned char *end)
{
    size_t  n;

    n = (uint64_t) (end - *p) < f->left ? (size_t) (end - *p)
                                        : (size_t) f->left;

    unmask(f, f->control + f->ncontrol, *p, n);

    *p += n;
    f->ncontrol += n;
    f->left -= n;

    if (f->left) {
        return FRAMES_GOT_NOTHING;
    }

    f->in_payload = false;

    return end_control(f);
}


frames_got_t
frames_next(frames_t *f, unsigned char **p, unsigned char *end)
{
    int           code;
    frames_got_t  got;

    /* the last message has been taken */

    if (f->buf && !f->message) {
        frames_clear(f);
    }

    while (!f->ended) {

        if (!f->in_payload) {
            code = take_head(f, p, end);

            if (code) {
                return fail(f, code);
            }
        }

        /* a frame of nothing needs no more bytes */

        if (!f->in_payload || (*p == end && f->left)) {
            return FRAMES_GOT_NOTHING;
        }

        got = is_control(f->frame) ? take_control(f, p, end)
                                   : take_data(f, p, end);

        if (got != FRAMES_GOT_NOTHING) {
            return got;
        }
    }

    *p = end;

    return FRAMES_GOT_NOTHING;
}


void
frames_clear(frames_t *f)
{
    free(f->buf);

    f->buf = NULL;
    f->buf_len = 0;
    f->buf_size = 0;
}


size_t
frames_head(unsigned char *out, frames_opcode_t opcode, bool compressed,
    uint64_t len)
{
    int  i;

    out[0] = (unsigned char) (FIN | (compressed ? RSV1 : 0) | opcode);

    if (len < LENGTH_16) {
        out[1] = (unsigned char) len;
        return 2;
    }

    if (len <= UINT16_MAX) {
        out[1] = LENGTH_16;
        out[2] = (unsigned char) (len >> 8);
        out[3] = (unsigned char) len;
        return 4;
    }

    out[1] = LENGTH_64;

    for (i = 0; i < 8; i++) {
        out[2 + i] = (unsigned char) (len >> (56 - 8 * i));
    }

    return 10;
}


size_t
frames_control(unsigned char *out, frames_opcode_t opcode,
    const void *payload, size_t len)
{
    size_t  n;

    if (len > FRAMES_CONTROL) {
        len = FRAMES_CONTROL;
    }

    n = frames_head(out, opcode, false, len);

    if (len) {
        memcpy(out + n, payload, len);
    }

    return n + len;
}


size_t
frames_close(unsigned char *out, int code, const char *reason, size_t len)
{
    unsigned char  payload[FRAMES_CONTROL];

    if (code == FRAMES_NO_CODE) {
        return frames_control(out, FRAMES_CLOSE, NULL, 0);
    }

    if (len > FRAMES_CONTROL - 2) {
        len = FRAMES_CONTROL - 2;

        while (len && ((unsigned char) reason[len] & 0xC0) == 0x80) {
            len--;
        }
    }

    payload[0] = (unsigned char) (code >> 8);
    payload[1] = (unsigned char) code;

    if (len) {
        memcpy(payload + 2, reason, len);
    }

    return frames_control(out, FRAMES_CLOSE, payload, 2 + len);
}


bool
frames_is_code(int code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014)
           || (code >= 3000 && code <= 4999);
}
