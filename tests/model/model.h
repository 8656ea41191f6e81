/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef MODEL_H
#define MODEL_H

/*
 * A model checker for the bridge.  Its sources are compiled as they are,
 * but for shim.h: each atomic operation, lock, eventfd and clock call of
 * theirs comes here first, which is where another thread may go on.  Threads
 * are fibers of one process, so that a schedule is a list of choices; all
 * lists are tried, each from the start.  An access to memory that one fiber
 * has for itself, or all only read, is no such point: see places.h.
 *
 * What has been seen already is not searched again: at each such point all
 * memory that the threads can see, their stacks included, is hashed (64
 * bits).  In the end each state must have a way to the end of all threads:
 * one that has none is a deadlock or a livelock.
 *
 * Only sequentially consistent executions exist here.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_FIBERS  4

/* what is at its start value, zero, when a run begins, and part of a state */
#define MODEL_STATE   __attribute__((section("model_state")))
/* the same for each fiber */
#define MODEL_LOCAL   __attribute__((section("model_local")))

typedef struct {
    const char  *name;
    void       (*run)(void);
} model_fiber_t;

typedef struct {
    const char     *name;
    void          (*setup)(void);       /* nobody else runs yet */
    model_fiber_t   fibers[MODEL_FIBERS];
    void          (*check)(void);       /* all have ended; may be NULL */
    unsigned        spurious;           /* wake-ups and failing weak CAS, at
                                           most, in a run */
    unsigned        preemptions;        /* at most, in a run; 0: any number */
    bool            time_passes;        /* where the clock is read, perhaps */
} model_scenario_t;

/* the end of this run, and of the search: what has been found */
_Noreturn void model_fail(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

#define MODEL_ASSERT(cond)                                                    \
    ((cond) ? (void) 0                                                        \
            : model_fail("%s:%d: %s", __FILE__, __LINE__, #cond))


/* ---- run.c: what fibers do; nothing of it is a point in setup, check */

/* A point; what: what this fiber is about to do, for the trace. */
void model_point(const char *what, const char *where, int line);

/* A point where the memory is shared, see places.h; it must be good. */
void model_access(const volatile void *p, bool writes, const char *what,
    const char *where, int line);

/* A point at which it is no preemption when another one goes on. */
void model_yield(const char *what);

/*
 * Sleeps until another fiber calls model_ready for this one, or, where
 * spurious wake-ups are allowed, for no reason; deadline: when it may wake up
 * by itself, us; -1: never.  false: it did.  MODEL_NEVER: not spuriously,
 * either.
 */
#define MODEL_NEVER  (-2)

bool model_sleep(const void *on, int64_t deadline, const char *what);

/* Wakes up to n of those who sleep on something; each choice is tried. */
void model_ready(const void *on, int n);

/* One of 0..n-1: each is tried. */
unsigned model_choose(unsigned n);

/* Whether something spurious happens now: both are tried, while allowed. */
bool model_spurious(void);

/* Microseconds; goes on only where a sleep ends by itself, or by tick. */
int64_t model_clock(void);
void model_tick(int64_t us);

/* The number of the running fiber, from 0; MODEL_FIBERS in setup, check. */
unsigned model_self(void);

/* A word about what has just happened, for the trace. */
void model_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));


/* ---- os.c: what the system does */

/* Waits until the eventfd is readable, as a loop that knows it does. */
void model_wait_fd(int fd);

/* Takes what is in it, if anything, as a read of a non-blocking one. */
void model_read_fd(int fd);

/* How many eventfds, and blocks from malloc, there are. */
unsigned model_open_fds(void);
unsigned model_blocks(void);


/* ---- the scenarios, one list a file, each ends with a NULL name */

extern const model_scenario_t  model_queue[];
extern const model_scenario_t  model_loop[];
extern const model_scenario_t  model_release[];
extern const model_scenario_t  model_task[];
extern const model_scenario_t  model_stack[];
extern const model_scenario_t  model_stream[];
extern const model_scenario_t  model_head[];

#endif /* MODEL_H */
