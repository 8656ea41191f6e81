/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_DEADLINE_H
#define PYTHON_DEADLINE_H

#include <time.h>

/* Any thread.  ms milliseconds from now, by CLOCK_MONOTONIC. */
static inline struct timespec
deadline_in(int ms)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    ts.tv_sec += ms / 1000;
    ts.tv_nsec += (long) (ms % 1000) * 1000000;

    if (ts.tv_nsec >= 1000000000) {
        ts.tv_sec++;
        ts.tv_nsec -= 1000000000;
    }

    return ts;
}

#endif /* PYTHON_DEADLINE_H */
