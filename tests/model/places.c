/* SPDX-License-Identifier: BSD-2-Clause */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "places.h"


#define SIZE  4096


static struct {
    const volatile void  *p;
    unsigned              fibers;       /* bits */
    bool                  written;
    bool                  shared;
} places[SIZE];

static bool  all;


void
places_reset(bool everything)
{
    memset(places, 0, sizeof(places));
    all = everything;
}


bool
places_shared(const volatile void *p, unsigned fiber, bool writes,
    bool *wrong)
{
    unsigned  i;

    *wrong = false;

    if (all) {
        return true;
    }

    for (i = (unsigned) ((uintptr_t) p >> 2) % SIZE;
         places[i].p != p;
         i = (i + 1) % SIZE)
    {
        if (places[i].p == NULL) {
            places[i].p = p;
            break;
        }
    }

    if (!places[i].shared) {
        places[i].fibers |= 1u << fiber;
        places[i].written |= writes;
        *wrong = places[i].written
                 && (places[i].fibers & (places[i].fibers - 1));
        places[i].shared = *wrong;
    }

    return places[i].shared;
}
