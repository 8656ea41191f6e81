/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef MODEL_GRAPH_H
#define MODEL_GRAPH_H

/* The states that have been seen, and the steps between them. */

#include <stdbool.h>
#include <stdint.h>

/* Forgets all. */
void graph_reset(void);

/* The number of the state of a hash; *fresh: it has not been seen before. */
uint32_t graph_state(uint64_t hash, bool *fresh);

/* A step; the end of all threads is state 0. */
void graph_edge(uint32_t from, uint32_t to);

/* A state from which no way leads to the end; 0: none. */
uint32_t graph_stuck(void);

uint32_t graph_states(void);
uint32_t graph_edges(void);

#endif /* MODEL_GRAPH_H */
