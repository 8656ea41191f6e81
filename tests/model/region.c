/* SPDX-License-Identifier: BSD-2-Clause */

#include <stdlib.h>
#include <string.h>

#include "fiber.h"
#include "region.h"


#define REGIONS  8


static struct {
    void    *p;
    size_t   size;
} regions[REGIONS];

static unsigned  nregions;


void
region_add(void *p, size_t size)
{
    if (nregions == REGIONS) {
        abort();
    }

    regions[nregions].p = p;
    regions[nregions++].size = size;
}


void
region_clear(void)
{
    unsigned  i;

    for (i = 0; i < nregions; i++) {
        memset(regions[i].p, 0, regions[i].size);
    }
}


uint64_t
region_hash(uint64_t hash)
{
    unsigned  i;

    for (i = 0; i < nregions; i++) {
        hash = fiber_mix(hash, regions[i].p, regions[i].size);
    }

    return hash;
}
