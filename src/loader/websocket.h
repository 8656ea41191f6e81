/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_WEBSOCKET_H
#define PYTHON_WEBSOCKET_H

/*
 * An upgraded connection, as messages: what comes in, and control frames.
 *
 * What has come is taken as far as 64 KiB of messages wait, and pings are
 * answered then.  A close frame, and what is wrong, ends it when the messages
 * before it have been taken; at the next ping in any case.  Of control frames
 * that are to go out one of each kind waits for room, the last one: no client
 * makes them many.
 *
 * GIL held, on the loop's thread.
 */

#include <stdbool.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "deflate.h"
#include "frames.h"

/* What those of one event loop share. */
typedef struct {
    PyObject_HEAD
    PyTypeObject         *socket_type;
    deflate_t            *deflate;
    PyObject             *type;     /* the str "type", and so on */
    PyObject             *receive;
    PyObject             *text;
    PyObject             *bytes;
} websockets_t;

enum {
    WEBSOCKET_PONG, WEBSOCKET_PING, WEBSOCKET_CLOSE, WEBSOCKET_CONTROLS
};

/* a control frame that waits for room */
typedef struct {
    unsigned char         bytes[FRAMES_CONTROL_MAX];
    size_t                len;
} websocket_control_t;

typedef struct {
    PyObject             *dict;
    size_t                cost;
} websocket_message_t;

typedef struct {
    PyObject_HEAD
    websockets_t         *shared;
    void                 *task;
    frames_t              frames;
    int                   bits;     /* of a window, for what goes out; 0: it is
                                       not compressed */
    char                 *part;     /* what has come, malloc'ed; or NULL */
    unsigned char        *at;       /* of it, what has not been taken */
    unsigned char        *end;
    websocket_message_t  *messages; /* a ring: those that wait */
    size_t                room;     /* of it: 0, or a power of two */
    size_t                first;
    size_t                count;
    size_t                waiting;  /* their bytes */
    websocket_control_t   controls[WEBSOCKET_CONTROLS];
    bool                  closing;  /* nothing goes out behind the close frame,
                                       and no message is taken */
    char                  ended;    /* nothing more comes */
    char                  heard;    /* something has come since the last ping */
    char                  leaving;  /* the worker leaves */
    bool                  paused;   /* enough waits */
    int                   last;     /* the code with which it is to end when the
                                       messages have been taken; 0: it is not */
    int                   code;     /* once it has ended */
    PyObject             *reason;   /* of the client's close frame, or NULL */
} websocket_t;


/* Takes what has come, as far as there is room for messages. */
void websocket_take(websocket_t *self);

/* The first message that waits: a new reference, or NULL. */
PyObject *websocket_pop(websocket_t *self);

/* Has it end now if it is to end behind the messages that wait. */
void websocket_settle(websocket_t *self);

/* Nothing more comes. */
void websocket_end(websocket_t *self, int code);

/* Sends a close frame, unless there was one; as of frames_close. */
void websocket_close(websocket_t *self, int code, const char *reason,
    size_t len);

/*
 * Sends the control frames that wait.  0; EAGAIN: there is no room; or another
 * error number: it is of no use any more.
 */
int websocket_flush(websocket_t *self);

/* Frees all that it has. */
void websocket_clear(websocket_t *self);

#endif /* PYTHON_WEBSOCKET_H */
