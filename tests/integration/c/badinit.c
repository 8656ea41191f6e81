/* SPDX-License-Identifier: BSD-2-Clause */

/* Fails to start: cfg is the number to return. */

#include <stdlib.h>

#include "resty_ffi.h"


int
libffi_init(char *cfg, void *tq)
{
    (void) tq;

    return cfg ? atoi(cfg) : 1;
}
