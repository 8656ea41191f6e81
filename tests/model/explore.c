/* SPDX-License-Identifier: BSD-2-Clause */

#include <stdio.h>
#include <string.h>

#include "explore.h"
#include "graph.h"
#include "path.h"
#include "places.h"
#include "run.h"
#include "trace.h"


#define LEARNT  300             /* runs without a new place, before a search */


static const char  *name;


static run_outcome_t
once(run_mode_t mode, model_result_t *result)
{
    run_outcome_t  outcome;

    outcome = run_once(mode);
    result->runs++;

    if (path_length() > result->longest) {
        result->longest = path_length();
    }

    result->ends += outcome == RUN_TO_END;

    if (outcome == RUN_TO_FAILURE) {
        result->failure = run_failure();
    }

    return outcome;
}


/* by schedules at random: what a search finds late costs it all so far */
static void
learn(model_result_t *result)
{
    unsigned  i;

    path_reset(PATH_RANDOM);

    for (i = 0; i < LEARNT && !result->failure; i++) {
        if (once(RUN_LEARN, result) == RUN_ANEW) {
            i = 0;
        }
    }
}


static model_result_t
search(void)
{
    model_result_t  result = { 0 };
    run_outcome_t   outcome;

    graph_reset();
    learn(&result);
    outcome = RUN_ANEW;

    while (!result.failure && (outcome == RUN_ANEW || path_next())) {
        if (outcome == RUN_ANEW) {
            memset(&result, 0, sizeof(result));
            graph_reset();
            path_reset(PATH_FIRST);
        }

        outcome = once(RUN_SEARCH, &result);
    }

    result.states = graph_states();
    result.steps = graph_edges();

    return result;
}


model_result_t
explore_search(const model_scenario_t *s, int preemptions)
{
    uint32_t        stuck;
    model_result_t  result;

    name = s->name;
    run_prepare(s, preemptions);
    places_reset(false);

    result = search();

    stuck = result.failure ? 0 : graph_stuck();

    /* once more, up to there, for its trace */

    if (stuck) {
        run_fail_at(stuck);
        result = search();
    }

    return result;
}


model_result_t
explore_replay(const model_scenario_t *s, int preemptions, const char *list)
{
    model_result_t  result = { 0 };

    name = s->name;
    run_prepare(s, preemptions);
    places_reset(true);
    path_reset(PATH_FIRST);
    path_give(list);

    (void) once(RUN_REPLAY, &result);

    return result;
}


void
explore_print(void)
{
    trace_print();
    printf("# --replay '%s' ", name);
    path_print();
    printf("\n");
}
