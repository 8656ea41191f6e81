/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef MODEL_PLACES_H
#define MODEL_PLACES_H

/*
 * Which memory several fibers share, and not for reading alone.  Accesses to
 * other memory need not be points of the schedule: they can be swapped with
 * whatever other fibers do.  It is learnt: each is thought to be a fiber's
 * own, or constant, until an access proves that wrong; the search begins
 * anew then.
 */

#include <stdbool.h>

/* Forgets all; everything: each place is shared, from the beginning. */
void places_reset(bool everything);

/* An access; *wrong: this place was thought not to be shared. */
bool places_shared(const volatile void *p, unsigned fiber, bool writes,
    bool *wrong);

#endif /* MODEL_PLACES_H */
