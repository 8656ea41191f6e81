/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef FUZZ_H
#define FUZZ_H

/* What the fuzzers in C have in common. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>


/* libFuzzer keeps the input and says where */
#define require(cond)                                                         \
    do {                                                                      \
        if (!(cond)) {                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__,        \
                    #cond);                                                   \
            abort();                                                          \
        }                                                                     \
    } while (0)


/* called by libFuzzer, once for each input; 0: it may go into the corpus */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif /* FUZZ_H */
