/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * usage: model [--list | --replay NAME CHOICES | NAME ...]
 *
 * Searches the scenarios, all unless some are named; the outcome as TAP.
 * MODEL_PREEMPTIONS: at most, in a run, for those scenarios that have a
 * bound; -1: any number.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "explore.h"
#include "region.h"
#include "world.h"

#undef clock_gettime


extern char  __start_model_state[], __stop_model_state[];

static const model_scenario_t *const  lists[] = {
    model_queue, model_loop, model_release, model_task, model_stack,
    model_stream, model_head, NULL
};


static int
bound_of(const model_scenario_t *s)
{
    const char  *text;

    text = getenv("MODEL_PREEMPTIONS");

    return s->preemptions == 0 ? -1
           : text && *text ? atoi(text) : (int) s->preemptions;
}


static double
seconds(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}


static bool
say(const model_scenario_t *s, unsigned number, const model_result_t *r)
{
    printf("%sok %u - %s\n", r->failure ? "not " : "", number, s->name);

    if (r->failure) {
        printf("# %s\n", r->failure);
        explore_print();
    }

    fflush(stdout);

    return r->failure == NULL;
}


static bool
search(const model_scenario_t *s, unsigned number)
{
    char            bound[32];
    bool            well;
    double          begin;
    model_result_t  r;

    begin = seconds();
    r = explore_search(s, bound_of(s));
    well = say(s, number, &r);

    snprintf(bound, sizeof(bound), bound_of(s) < 0
             ? "any preemptions" : "%d preemptions", bound_of(s));
    printf("# %s: %u states, %u steps, %llu runs, %llu ends, at most %u "
           "choices, %s, %.1f s\n", s->name, r.states, r.steps,
           (unsigned long long) r.runs, (unsigned long long) r.ends,
           r.longest, bound, seconds() - begin);
    fflush(stdout);

    return well;
}


/* a crash is a finding, too */
static void
crash(int number)
{
    printf("not ok - crashed: %s\n", strsignal(number));
    explore_print();
    fflush(stdout);
    _exit(1);
}


static void
catch_crashes(void)
{
    static char       stack[64 * 1024];
    stack_t           other = { .ss_sp = stack, .ss_size = sizeof(stack) };
    struct sigaction  action = { .sa_handler = crash,
                                 .sa_flags = SA_ONSTACK };

    (void) sigaltstack(&other, NULL);
    (void) sigaction(SIGSEGV, &action, NULL);
    (void) sigaction(SIGBUS, &action, NULL);
    (void) sigaction(SIGABRT, &action, NULL);
}


static bool
is_wanted(const char *name, int argc, char **argv)
{
    int  i;

    for (i = 1; i < argc; i++) {
        if (strcmp(name, argv[i]) == 0) {
            return true;
        }
    }

    return argc == 1;
}


int
main(int argc, char **argv)
{
    bool                     well, list, replay;
    unsigned                 i, number;
    model_result_t           r;
    const model_scenario_t  *s;

    catch_crashes();
    region_add(__start_model_state,
               (size_t) (__stop_model_state - __start_model_state));
    region_add(bridge_host(), offsetof(bridge_t, chunks[4]));
    region_add(&bridge_host()->free_tasks,
                 offsetof(bridge_t, queues[4])
                 - offsetof(bridge_t, free_tasks));
    region_add(&bridge_host()->nqueues, sizeof(uint32_t));

    list = argc == 2 && strcmp(argv[1], "--list") == 0;
    replay = argc == 4 && strcmp(argv[1], "--replay") == 0;
    well = true;
    number = 0;

    for (i = 0; lists[i]; i++) {
        for (s = lists[i]; s->name; s++) {

            if (list) {
                puts(s->name);

            } else if (replay && strcmp(s->name, argv[2]) == 0) {
                r = explore_replay(s, bound_of(s), argv[3]);
                well = say(s, ++number, &r);
                if (well) {
                    explore_print();
                }

            } else if (!replay && is_wanted(s->name, argc, argv)) {
                well = search(s, ++number) && well;
            }
        }
    }

    if (!list) {
        printf("1..%u\n", number);
    }

    return well && (list || number) ? 0 : 1;
}
