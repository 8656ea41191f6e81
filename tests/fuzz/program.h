/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PROGRAM_H
#define PROGRAM_H

/*
 * Operations of a host that behaves and of a runtime that does not.  Each
 * takes what it needs from the input, does it to the bridge and to the
 * model, and requires that they agree.
 */

#include "model.h"

#include "head.h"
#include "resty_ffi.h"

#define MAX_GOT   (MAX_TASKS + 1)
#define FAR_AWAY  INT64_MAX


typedef struct {
    const uint8_t *p;
    const uint8_t *end;
} input_t;

extern bridge_t  *b;
extern model_t   *m;
extern input_t    in;


/* ---- the input, 0 behind its end */

unsigned byte(void);
unsigned below(unsigned n);

/* mostly small, around the sizes at which the bridge changes its ways */
size_t length(void);

void *pointer(uint64_t handle);
uint64_t number(const void *handle);

/* mostly one of its kind, good or stale; else any */
uint64_t task_handle(void);
uint64_t queue_handle(void);

/* NULL where it has been released */
queue_t *any_queue(void);


/* ---- the host */

void new_queue(void);
void push(void);
void push_web(void);
void start(void);
void cancel(void);
int drain(void);         /* how often a queue has lost its last thread */
void close_queue(queue_t *q);
void reject_all(queue_t *q);

/* what a part or head of an answer, or a part of a request, comes to */
void take_part(bridge_part_t *p, int i);
void take_head(bridge_head_t *h, int i);
void take_room(bridge_node_t *n, int i);
void give_back(void);
void give_all_back(void);
void write_part(void);
void finish_parts(void);
void release_queue(queue_t *q);


/* ---- the runtime */

void poll_batch(void);
void task_poll(void);

/* by a thread that ends then; only where it gets none */
void poll_elsewhere(void);

void poll_events(void);
void event_loop(void);
void say(void);

void look(void);
void respond(void);
void respond_ref(void);
void respond_copy(void);
void started(void);

void send_part(void);
void send_copy(void);
void read_part(void);
void ask(void);

void look_at_head(void);
void send_head(void);

/* the model's side of an answer, to a task that waits for one or NULL */
void answered(task_t *t, int rc, const char *rsp, size_t len);

#endif /* PROGRAM_H */
