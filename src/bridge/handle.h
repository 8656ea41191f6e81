/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_HANDLE_H
#define BRIDGE_HANDLE_H

/*
 * Handles: what runtimes hold instead of addresses.
 *
 *     63..56  0xA7    a non-canonical address whatever the rest is, and
 *                     never a small number (Go's runtime aborts on those)
 *     55..52  kind
 *     51..20  generation of the slot
 *     19..0   slot
 *
 * The low 52 bits alone are exact in a double: they are a task's id in Lua.
 */

#include "bridge.h"

enum {
    BRIDGE_KIND_TASK  = 1,
    BRIDGE_KIND_QUEUE = 2
};

#define BRIDGE_ID_MASK  ((UINT64_C(1) << 52) - 1)


static inline uint64_t
bridge_handle(unsigned kind, uint32_t gen, uint32_t slot)
{
    return UINT64_C(0xA7) << 56 | (uint64_t) kind << 52
           | (uint64_t) gen << BRIDGE_SLOT_BITS | slot;
}


static inline bool
bridge_handle_is(uint64_t handle, unsigned kind)
{
    return handle >> 52 == (UINT64_C(0xA7) << 4 | kind);
}


static inline uint32_t
bridge_handle_gen(uint64_t handle)
{
    return (uint32_t) (handle >> BRIDGE_SLOT_BITS);
}


static inline uint32_t
bridge_handle_slot(uint64_t handle)
{
    return (uint32_t) (handle & (BRIDGE_MAX_TASKS - 1));
}

#endif /* BRIDGE_HANDLE_H */
