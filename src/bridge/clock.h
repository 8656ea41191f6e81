/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_CLOCK_H
#define BRIDGE_CLOCK_H

/* CLOCK_MONOTONIC, which deadlines and conditions go by. */

#include <stdint.h>
#include <time.h>


static inline int64_t
bridge_now_us(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


static inline struct timespec
bridge_deadline_in(int ms)
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

#endif /* BRIDGE_CLOCK_H */
