/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef MODEL_EXPLORE_H
#define MODEL_EXPLORE_H

/* The search through all schedules of a scenario. */

#include "model.h"

typedef struct {
    uint64_t     runs;          /* from the start to a known state or the end */
    uint64_t     ends;          /* of them: to the end of all threads */
    uint32_t     states;
    uint32_t     steps;         /* between states */
    uint32_t     longest;       /* choices of a run */
    const char  *failure;       /* NULL: none; else its trace is printed */
} model_result_t;

/*
 * All schedules; preemptions: at most, in a run, -1: any number.
 */
model_result_t explore_search(const model_scenario_t *scenario,
    int preemptions);

/* One schedule, choice by choice as a failure has printed it. */
model_result_t explore_replay(const model_scenario_t *scenario,
    int preemptions, const char *choices);

/* The steps and the choices so far of the current run, to stdout. */
void explore_print(void);

#endif /* MODEL_EXPLORE_H */
