/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef SOAK_ANSWER_H
#define SOAK_ANSWER_H

/* What an answer has to be, to the byte. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* of a version, before what it answers */
#define DIGITS  8

/* as in soakweb.py */
#define TIMES  8

typedef enum {
    ECHOED,             /* the version, and each byte of the request inverted */
    PARTS,              /* the same, sent in the parts of soaked.py */
    CUT,                /* the same, of which any number is missing */
    INVERTED,           /* the same without the version */
    RAISED,
    REFUSED,
    TIMED_OUT,
    STALLED,            /* TIMED_OUT, or the version alone */
    EITHER,             /* ECHOED or TIMED_OUT */
    REPEATED,           /* INVERTED, TIMES times */
    FAILED              /* nginx's own page */
} answer_t;

typedef struct {
    answer_t              answer;
    uint64_t              least;        /* versions that may answer */
    uint64_t              most;
    const unsigned char  *request;      /* so many bytes */
    const unsigned char  *inverted;
    size_t                size;
} expected_t;

bool answer_is_right(const expected_t *e, int status, const char *body,
    size_t n);

/* Whether nginx has refused the request for want of a thread that runs. */
bool answer_is_stuck(int status, const char *body, size_t n);

/* In how many parts it has been sent; 0 if that is not known. */
uint64_t answer_parts(const expected_t *e);

#endif
