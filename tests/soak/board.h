/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef SOAK_BOARD_H
#define SOAK_BOARD_H

#include <stdint.h>

/*
 * A file that the client and who started it have mapped: 64-bit words, each
 * with one writer.  soak.py reads and writes it by these positions.
 */
typedef struct {
    uint64_t  least;       /* of an answer to a request sent from now on */
    uint64_t  most;        /* version on disk */
    uint64_t  stop;        /* not 0: send no more */

    uint64_t  answered;    /* by the client: right answers */
    uint64_t  wrong;       /* answers that are not what was asked for */
    uint64_t  lost;        /* requests without an answer */
    uint64_t  left;        /* requests that the client walked away from */
    uint64_t  retried;     /* sent again: the idle connection was closed */
    uint64_t  bytes;       /* of right answers */
    uint64_t  parts;       /* of those that are known to come in so many */
    uint64_t  stuck;       /* refused: no thread of the runtime ran for 1 s */
} board_t;

#endif
