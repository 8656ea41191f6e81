#ifndef BRIDGE_STATE_H
#define BRIDGE_STATE_H

/* The bits of bridge_task_t.state, for task.c and answer.c; see task.h. */

#include "handle.h"
#include "task.h"

#define GEN_SHIFT  8


static inline uint32_t
state_gen(uint64_t state)
{
    return (uint32_t) (state >> GEN_SHIFT);
}


static inline unsigned
state_phase(uint64_t state)
{
    return (unsigned) (state & BRIDGE_TASK_PHASE);
}


/* Any thread.  The slot's task whatever its generation is. */
static inline bridge_task_t *
bridge_task_slot(bridge_t *b, uint32_t slot)
{
    bridge_task_t  *chunk;

    chunk = atomic_load_explicit(&b->chunks[slot / BRIDGE_CHUNK],
                                 memory_order_acquire);

    return chunk ? &chunk[slot % BRIDGE_CHUNK] : NULL;
}


/* Any thread.  The task of a handle, with its state; NULL if stale. */
static inline bridge_task_t *
bridge_task_of(bridge_t *b, uint64_t handle, uint64_t *state)
{
    bridge_task_t  *t;

    if (!bridge_handle_is(handle, BRIDGE_KIND_TASK)
        || atomic_load_explicit(&b->dead, memory_order_relaxed))
    {
        return NULL;
    }

    t = bridge_task_slot(b, bridge_handle_slot(handle));
    if (t == NULL) {
        return NULL;
    }

    *state = atomic_load_explicit(&t->state, memory_order_acquire);

    return state_gen(*state) == bridge_handle_gen(handle) ? t : NULL;
}


#pragma GCC visibility push(hidden)

/*
 * Any thread.  A copy with a NUL behind it, in buf where that has the room;
 * else malloc'ed, NULL where memory ran out.
 */
char *bridge_task_text(char *buf, size_t room, const char *text, size_t len);

#pragma GCC visibility pop

#endif /* BRIDGE_STATE_H */
