/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_FRAMES_H
#define PYTHON_FRAMES_H

/*
 * Frames of WebSocket (RFC 6455), as a server has them: out of bytes that are
 * cut anywhere, and into bytes.  It knows neither Python nor the bridge.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "utf8.h"

/* payload of a control frame at most, and a whole frame of one */
#define FRAMES_CONTROL      125
#define FRAMES_CONTROL_MAX  (2 + FRAMES_CONTROL)

/* bytes before the payload of a frame at most, as a server sends it */
#define FRAMES_HEAD_MAX     10

typedef enum {
    FRAMES_CONTINUATION = 0x0,
    FRAMES_TEXT         = 0x1,
    FRAMES_BINARY       = 0x2,
    FRAMES_CLOSE        = 0x8,
    FRAMES_PING         = 0x9,
    FRAMES_PONG         = 0xA
} frames_opcode_t;

enum {
    FRAMES_NORMAL       = 1000,
    FRAMES_PROTOCOL     = 1002,
    FRAMES_NO_CODE      = 1005,     /* a close frame without one */
    FRAMES_ABNORMAL     = 1006,     /* no close frame */
    FRAMES_BAD_TEXT     = 1007,
    FRAMES_TOO_BIG      = 1009,
    FRAMES_INTERNAL     = 1011,
    FRAMES_RESTART      = 1012
};

/* what has come */
typedef enum {
    FRAMES_GOT_NOTHING,     /* all bytes are taken */
    FRAMES_GOT_MESSAGE,     /* of opcode; compressed: to be inflated, and if it
                               is text, to be checked then */
    FRAMES_GOT_CONTROL,     /* of opcode; a close frame: code, and data is its
                               reason; no bytes count after it */
    FRAMES_FAILED           /* code says why; no bytes count any more */
} frames_got_t;

/* Zeroed at first, but for the first two. */
typedef struct {
    size_t           max_size;      /* of a message; what is announced counts */
    bool             deflate;       /* messages may be compressed */

    /* what frames_next has found */
    frames_opcode_t  opcode;
    bool             compressed;
    int              code;
    unsigned char   *data;          /* len bytes, until the next call */
    size_t           len;

    /* its own */
    bool             ended;
    unsigned char    head[14];
    unsigned         nhead;         /* bytes of it that have come */
    bool             in_payload;
    bool             fin;
    unsigned char    frame;         /* its opcode */
    unsigned char    mask[4];       /* turned to the next byte */
    uint64_t         left;          /* of the payload */
    unsigned char    message;       /* its opcode; 0: none has begun */
    bool             packed;        /* it is compressed */
    utf8_t           utf8;
    unsigned char   *buf;           /* what of it has come */
    size_t           buf_len;
    size_t           buf_size;
    unsigned char    control[FRAMES_CONTROL];
    size_t           ncontrol;
} frames_t;

/*
 * Takes bytes from *p, up to end, which it may change, until something has
 * come; *p is behind what it has taken.  Memory that runs out is
 * FRAMES_INTERNAL.
 */
frames_got_t frames_next(frames_t *f, unsigned char **p, unsigned char *end);

/* Frees what has come of a message. */
void frames_clear(frames_t *f);

/*
 * Writes to out, of FRAMES_HEAD_MAX, what is before len bytes of payload of a
 * frame that is all of its message; returns how many bytes that is.
 */
size_t frames_head(unsigned char *out, frames_opcode_t opcode,
    bool compressed, uint64_t len);

/*
 * Writes a control frame to out, of FRAMES_CONTROL_MAX; of the payload what
 * there is room for.  The same.
 */
size_t frames_control(unsigned char *out, frames_opcode_t opcode,
    const void *payload, size_t len);

/*
 * The same of a close frame; FRAMES_NO_CODE: of nothing else.  The reason, in
 * UTF-8, is cut between characters where it is too long.
 */
size_t frames_close(unsigned char *out, int code, const char *reason,
    size_t len);

/* Whether a close frame may have the code. */
bool frames_is_code(int code);

#endif /* PYTHON_FRAMES_H */
