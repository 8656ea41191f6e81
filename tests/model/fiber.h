/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef MODEL_FIBER_H
#define MODEL_FIBER_H

/* Threads of the model: stacks, and what each has for itself. */

#include "model.h"

/* Before a run.  Their stacks are clean, so that a state is what it was. */
void fiber_reset(void);

/* Calls f, which fiber_leave ends, from wherever it is. */
void fiber_run(void (*f)(void));
_Noreturn void fiber_leave(void);

/* The fiber that runs: lets fiber_go_on return, which makes this return. */
void fiber_pause(unsigned fiber);

/*
 * Goes on with a fiber, in fiber_pause or, at first, in body; until it pauses
 * or, with ended, leaves for good.
 */
void fiber_go_on(unsigned fiber, void (*body)(void));
_Noreturn void fiber_end(unsigned fiber);

/* Of what the fiber, which is in fiber_pause, has on its stack and else. */
uint64_t fiber_hash(unsigned fiber, uint64_t hash);

/* A hash of memory, that depends on another one. */
uint64_t fiber_mix(uint64_t hash, const void *p, size_t size);

#endif /* MODEL_FIBER_H */
