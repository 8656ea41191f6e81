/* SPDX-License-Identifier: BSD-2-Clause */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fiber.h"
#include "graph.h"
#include "os.h"
#include "path.h"
#include "places.h"
#include "region.h"
#include "run.h"
#include "trace.h"


enum { NONE, READY, SLEEPING, ENDED };

typedef struct {
    int          phase;
    bool         yields;        /* it is not preempted where it waits so */
    bool         in_time;       /* it was woken, rather than its time up */
    const void  *on;
    int64_t      deadline;
} fiber_t;


static MODEL_STATE int64_t   now;
static MODEL_STATE unsigned  spurious, preempted;
static MODEL_STATE fiber_t   fibers[MODEL_FIBERS];

static const model_scenario_t  *scenario;
static int                      bound;
static run_mode_t               mode;
static unsigned                 self = MODEL_FIBERS;
static uint32_t                 state, wanted;
static run_outcome_t            outcome;
static char                     failure[200];


unsigned
model_self(void)
{
    return self;
}


int64_t
model_clock(void)
{
    model_access(&now, scenario->time_passes, "clock", __func__, __LINE__);

    if (scenario->time_passes && model_choose(2)) {
        now += 10;
    }

    return now;
}


static uint64_t
hash_state(void)
{
    void      *heap;
    size_t     size;
    unsigned   i;
    uint64_t   hash;

    /* who may go on without a preemption is part of it, where they count */

    hash = bound < 0 ? 0 : self + 1;
    hash = region_hash(hash);
    heap = os_heap(&size);
    hash = fiber_mix(hash, heap, size);

    for (i = 0; i < MODEL_FIBERS; i++) {
        hash = fiber_hash(i, hash);
    }

    return hash;
}


static _Noreturn void
leave(run_outcome_t what)
{
    outcome = what;
    fiber_leave();
}


void
model_fail(const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    (void) vsnprintf(failure, sizeof(failure), fmt, args);
    va_end(args);

    leave(RUN_TO_FAILURE);
}


/* ---- choosing */

/* at random that may be; in a search a state would have come again */
static _Noreturn void
too_long(void)
{
    if (mode == RUN_LEARN) {
        leave(RUN_TO_KNOWN);
    }

    model_fail("livelock: no end after %u choices", path_length());
}


static unsigned
pick(unsigned n)
{
    int  chosen;

    chosen = path_pick(n, &state);

    if (chosen == -1) {
        too_long();
    }

    if (chosen < 0) {
        model_fail("this run is not as the one before");
    }

    return (unsigned) chosen;
}


unsigned
model_choose(unsigned n)
{
    return n > 1 && self < MODEL_FIBERS ? pick(n) : 0;
}


bool
model_spurious(void)
{
    if (self == MODEL_FIBERS || spurious == scenario->spurious
        || !model_choose(2))
    {
        return false;
    }

    spurious++;

    return true;
}


static bool
may_go_on(const fiber_t *f)
{
    return f->phase == READY
           || (f->phase == SLEEPING
               && (f->deadline >= 0
                   || (f->deadline == -1 && spurious < scenario->spurious)));
}


/* this fiber first, then the others; alone, where it is not preempted */
static unsigned
candidates(unsigned *which)
{
    unsigned  i, n, first;

    n = 0;
    first = self < MODEL_FIBERS ? self : 0;

    for (i = 0; i < MODEL_FIBERS; i++) {
        which[n] = (first + i) % MODEL_FIBERS;
        n += may_go_on(&fibers[which[n]]);

        if (n && self < MODEL_FIBERS && fibers[self].phase == READY
            && !fibers[self].yields && (int) preempted == bound)
        {
            break;
        }
    }

    return n;
}


static _Noreturn void
nobody_goes_on(void)
{
    unsigned  i;

    for (i = 0; i < MODEL_FIBERS; i++) {
        if (fibers[i].phase == SLEEPING) {
            model_fail("deadlock: %s sleeps for ever",
                       scenario->fibers[i].name);
        }
    }

    if (mode == RUN_SEARCH) {
        graph_edge(state, 0);
    }

    leave(RUN_TO_END);
}


static void
note_state(void)
{
    bool      fresh;
    uint32_t  next;

    next = graph_state(hash_state(), &fresh);
    graph_edge(state, next);

    if (next == wanted) {
        model_fail("livelock: there is no way to the end from here");
    }

    if (!fresh) {
        leave(RUN_TO_KNOWN);
    }

    state = next;
}


static void
wake_by_itself(fiber_t *f)
{
    f->phase = READY;

    if (f->deadline >= 0 && !model_spurious()) {
        f->in_time = false;
        now = now > f->deadline ? now : f->deadline;
        return;
    }

    if (f->deadline < 0) {
        spurious++;
    }

    f->in_time = true;
}


/* the fiber that goes on */
static unsigned
schedule(void)
{
    unsigned  n, i, which[MODEL_FIBERS];

    if (!path_known() && mode == RUN_SEARCH) {
        note_state();
    }

    n = candidates(which);
    if (n == 0) {
        nobody_goes_on();
    }

    i = which[pick(n)];

    if (bound >= 0 && i != self && self < MODEL_FIBERS
        && fibers[self].phase == READY && !fibers[self].yields)
    {
        preempted++;
    }

    if (fibers[i].phase == SLEEPING) {
        wake_by_itself(&fibers[i]);
    }

    return i;
}


static void
body(void)
{
    scenario->fibers[self].run();
    os_thread_ends();

    memset(&fibers[self], 0, sizeof(fiber_t));
    fibers[self].phase = ENDED;
    fiber_end(self);
}


/* ---- what fibers do */

static void
trace(const char *what, const char *where, int line)
{
    if (!trace_step(scenario->fibers[self].name, what, where, line)) {
        too_long();
    }
}


void
model_note(const char *fmt, ...)
{
    va_list  args;

    if (self < MODEL_FIBERS) {
        va_start(args, fmt);
        trace_note(fmt, args);
        va_end(args);
    }
}


void
model_point(const char *what, const char *where, int line)
{
    if (self < MODEL_FIBERS) {
        fiber_pause(self);
        trace(what, where, line);
    }
}


void
model_access(const volatile void *p, bool writes, const char *what,
    const char *where, int line)
{
    bool  wrong;

    if (self == MODEL_FIBERS) {
        return;
    }

    if (places_shared(p, self, writes, &wrong)) {
        if (wrong) {
            leave(RUN_ANEW);
        }

        fiber_pause(self);

    } else if (!path_no_choice()) {
        too_long();
    }

    trace(what, where, line);
    os_touch(p);
}


void
model_yield(const char *what)
{
    fibers[self].yields = true;
    model_point(what, "", 0);
    fibers[self].yields = false;
}


bool
model_sleep(const void *on, int64_t deadline, const char *what)
{
    bool      in_time;
    fiber_t  *f;

    f = &fibers[self];
    f->phase = SLEEPING;
    f->on = on;
    f->deadline = deadline;

    fiber_pause(self);
    trace(what, "", 0);

    in_time = f->in_time;
    f->in_time = false;
    f->on = NULL;
    f->deadline = 0;

    if (!in_time) {
        model_note("its time is up");
    }

    return in_time;
}


void
model_ready(const void *on, int n)
{
    unsigned  i, m, which[MODEL_FIBERS];

    for ( /* void */ ; n; n--) {
        for (m = 0, i = 0; i < MODEL_FIBERS; i++) {
            if (fibers[i].phase == SLEEPING && fibers[i].on == on) {
                which[m++] = i;
            }
        }

        if (m == 0) {
            break;
        }

        i = which[(unsigned) n >= m ? 0 : model_choose(m)];
        fibers[i].phase = READY;
        fibers[i].in_time = true;
    }
}


void
model_tick(int64_t us)
{
    model_access(&now, true, "tick", __func__, __LINE__);
    now += us;
}


/* ---- runs */

static void
run(void)
{
    unsigned  i;

    os_reset();
    fiber_reset();

    region_clear();

    for (i = 0; i < MODEL_FIBERS && scenario->fibers[i].run; i++) {
        fibers[i].phase = READY;
    }

    self = MODEL_FIBERS;
    state = 0;
    path_begin();
    trace_reset();

    scenario->setup();

    for ( ;; ) {
        self = schedule();
        fiber_go_on(self, body);
    }
}


static void
check(void)
{
    self = MODEL_FIBERS;

    if (scenario->check) {
        scenario->check();
    }

    os_check();
}


void
run_prepare(const model_scenario_t *s, int preemptions)
{
    scenario = s;
    bound = preemptions;
    wanted = UINT32_MAX;
}


void
run_fail_at(uint32_t number)
{
    wanted = number;
}


run_outcome_t
run_once(run_mode_t how)
{
    mode = how;
    fiber_run(run);

    if (outcome == RUN_TO_END) {
        fiber_run(check);
    }

    return outcome;
}


const char *
run_failure(void)
{
    return failure;
}
