/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_ABI_H
#define BRIDGE_ABI_H

/*
 * The bridge of this process, behind the functions of resty_ffi.h: they
 * have no argument that says which bridge is meant, so there is one.
 */

#include "bridge.h"

#pragma GCC visibility push(hidden)

/*
 * Host thread, in the process that will call runtimes, before the first
 * load; once more does no harm.  notify as for bridge_init.  false where memory
 * ran out.
 */
bool bridge_host_init(void (*notify)(void *arg), void *arg);

/* Any thread, after bridge_host_init. */
bridge_t *bridge_host(void);


/* what abi.c and abi_native.c share: a handle, and whether we are a child */

static inline uint64_t
bridge_number(const void *handle)
{
    return (uint64_t) (uintptr_t) handle;
}


static inline bool
bridge_host_dead(void)
{
    return atomic_load_explicit(&bridge_host()->dead, memory_order_relaxed);
}

#pragma GCC visibility pop

#endif /* BRIDGE_ABI_H */
