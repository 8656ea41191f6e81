/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef MODEL_RUN_H
#define MODEL_RUN_H

/* One run of a scenario: the fibers, and which of them goes on. */

#include "model.h"

typedef enum {
    RUN_TO_END,
    RUN_TO_KNOWN,               /* a state that a run has come to before */
    RUN_TO_FAILURE,
    RUN_ANEW                    /* what has been searched so far is no good,
                                   see places.h */
} run_outcome_t;

typedef enum {
    RUN_SEARCH,
    RUN_LEARN,                  /* no states; too long a run is none */
    RUN_REPLAY
} run_mode_t;

/* What is run; preemptions: at most, -1: any number. */
void run_prepare(const model_scenario_t *scenario, int preemptions);

/* From now on to come to this state is a failure. */
void run_fail_at(uint32_t state);

/* From the start; its choices are path.h's, its steps trace.h's. */
run_outcome_t run_once(run_mode_t mode);

/* What has failed. */
const char *run_failure(void);

#endif /* MODEL_RUN_H */
