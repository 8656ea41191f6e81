/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_CLOCK_H
#define PYTHON_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Any thread.  Nanoseconds of CLOCK_MONOTONIC. */
static inline int64_t
clock_ns(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}

#endif /* PYTHON_CLOCK_H */
