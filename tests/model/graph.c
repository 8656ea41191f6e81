/* SPDX-License-Identifier: BSD-2-Clause */

#include <stdlib.h>
#include <string.h>

#include "graph.h"


typedef struct {
    uint32_t  from;
    uint32_t  to;
} edge_t;


/* an open-addressed table of hashes; number: 0 where free */
static struct {
    uint64_t  hash;
    uint32_t  number;
} *table;

static uint32_t   size, states;
static edge_t    *edges;
static uint32_t   nedges, room;


static void *
get(size_t n, size_t each)
{
    void  *p;

    p = calloc(n, each);
    if (p == NULL) {
        abort();
    }

    return p;
}


void
graph_reset(void)
{
    free(table);
    free(edges);

    size = 1 << 16;
    table = get(size, sizeof(*table));
    states = 1;

    room = 1 << 16;
    edges = get(room, sizeof(edge_t));
    nedges = 0;
}


static uint32_t
place(uint64_t hash)
{
    uint32_t  i;

    for (i = (uint32_t) hash & (size - 1);
         table[i].number && table[i].hash != hash;
         i = (i + 1) & (size - 1))
    { /* void */ }

    return i;
}


static void
grow(void)
{
    uint32_t           i, old_size;
    __typeof__(table)  old;

    old = table;
    old_size = size;

    size *= 2;
    table = get(size, sizeof(*table));

    for (i = 0; i < old_size; i++) {
        if (old[i].number) {
            table[place(old[i].hash)] = old[i];
        }
    }

    free(old);
}


uint32_t
graph_state(uint64_t hash, bool *fresh)
{
    uint32_t  i;

    i = place(hash);
    *fresh = table[i].number == 0;

    if (!*fresh) {
        return table[i].number;
    }

    table[i].hash = hash;
    table[i].number = states++;

    if (states > size / 2) {
        grow();
    }

    return states - 1;
}


void
graph_edge(uint32_t from, uint32_t to)
{
    if (nedges == room) {
        room *= 2;
        edges = realloc(edges, room * sizeof(edge_t));
        if (edges == NULL) {
            abort();
        }
    }

    edges[nedges++] = (edge_t) { from, to };
}


uint32_t
graph_stuck(void)
{
    bool      *good;
    uint32_t   i, s, n, stuck, *first, *before, *queue;

    /* before[first[s]..first[s + 1]]: those one step before s */

    first = get(states + 2, sizeof(uint32_t));
    before = get(nedges + 1, sizeof(uint32_t));
    queue = get(states, sizeof(uint32_t));
    good = get(states, sizeof(bool));

    for (i = 0; i < nedges; i++) {
        first[edges[i].to + 2]++;
    }

    for (s = 1; s <= states; s++) {
        first[s + 1] += first[s];
    }

    for (i = 0; i < nedges; i++) {
        before[first[edges[i].to + 1]++] = edges[i].from;
    }

    good[0] = true;
    n = 1;

    for (i = 0; i < n; i++) {
        for (s = first[queue[i]]; s < first[queue[i] + 1]; s++) {
            if (!good[before[s]]) {
                good[before[s]] = true;
                queue[n++] = before[s];
            }
        }
    }

    stuck = 0;

    for (s = 1; s < states && !stuck; s++) {
        stuck = good[s] ? 0 : s;
    }

    free(first);
    free(before);
    free(queue);
    free(good);

    return stuck;
}


uint32_t
graph_states(void)
{
    return states - 1;
}


uint32_t
graph_edges(void)
{
    return nedges;
}
