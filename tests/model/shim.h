/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef MODEL_SHIM_H
#define MODEL_SHIM_H

/*
 * Included before everything else in the sources of the bridge: their
 * atomics and system calls become points of the schedule.  See model.h.
 */

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bridge.h"
#include "model.h"
#include "os.h"

/* tables are small, so that a state is */
#undef BRIDGE_CHUNK
#define BRIDGE_CHUNK  4


/* ---- atomics: one fiber runs at a time, so plain accesses will do */

#define SHIM_TYPE(p)  __typeof__((void) 0, *(p))

#define SHIM_AT(op, p, writes)                                                \
    model_access(p_, writes, op " " #p, __func__, __LINE__)

#define SHIM_RMW(op, p, v, new)                                               \
    __extension__ ({                                                          \
        __auto_type   p_ = (p);                                               \
        SHIM_TYPE(p)  v_ = (v);                                               \
        SHIM_AT(op, p, true);                                                 \
        SHIM_TYPE(p)  old_ = *p_;                                             \
        *p_ = (new);                                                          \
        old_;                                                                 \
    })

#define SHIM_CAS(p, e, v, weak)                                               \
    __extension__ ({                                                          \
        __auto_type   p_ = (p);                                               \
        __auto_type   e_ = (e);                                               \
        SHIM_TYPE(p)  v_ = (v);                                               \
        SHIM_AT("cas", p, true);                                              \
        bool  ok_ = *p_ == *e_ && !(weak && model_spurious());                \
        if (ok_) *p_ = v_; else *e_ = *p_;                                    \
        if (!ok_) model_note("fails");                                        \
        ok_;                                                                  \
    })

#undef atomic_load
#undef atomic_load_explicit
#undef atomic_store
#undef atomic_store_explicit
#undef atomic_exchange
#undef atomic_exchange_explicit
#undef atomic_fetch_add
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or
#undef atomic_fetch_or_explicit
#undef atomic_fetch_and
#undef atomic_fetch_and_explicit
#undef atomic_compare_exchange_weak
#undef atomic_compare_exchange_weak_explicit
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_strong_explicit

#define atomic_load(p)                                                        \
    __extension__ ({                                                          \
        __auto_type  p_ = (p);                                                \
        SHIM_AT("load", p, false);                                            \
        SHIM_TYPE(p)  now_ = *p_;                                             \
        now_;                                                                 \
    })
#define atomic_store(p, v)           ((void) SHIM_RMW("store", p, v, v_))
#define atomic_exchange(p, v)        SHIM_RMW("exchange", p, v, v_)
#define atomic_fetch_add(p, v)       SHIM_RMW("add", p, v, old_ + v_)
#define atomic_fetch_sub(p, v)       SHIM_RMW("sub", p, v, old_ - v_)
#define atomic_fetch_or(p, v)        SHIM_RMW("or", p, v, old_ | v_)
#define atomic_fetch_and(p, v)       SHIM_RMW("and", p, v, old_ & v_)
#define atomic_compare_exchange_weak(p, e, v)    SHIM_CAS(p, e, v, true)
#define atomic_compare_exchange_strong(p, e, v)  SHIM_CAS(p, e, v, false)

#define atomic_load_explicit(p, mo)          atomic_load(p)
#define atomic_store_explicit(p, v, mo)      atomic_store(p, v)
#define atomic_exchange_explicit(p, v, mo)   atomic_exchange(p, v)
#define atomic_fetch_add_explicit(p, v, mo)  atomic_fetch_add(p, v)
#define atomic_fetch_sub_explicit(p, v, mo)  atomic_fetch_sub(p, v)
#define atomic_fetch_or_explicit(p, v, mo)   atomic_fetch_or(p, v)
#define atomic_fetch_and_explicit(p, v, mo)  atomic_fetch_and(p, v)
#define atomic_compare_exchange_weak_explicit(p, e, v, mo, fail)              \
    atomic_compare_exchange_weak(p, e, v)
#define atomic_compare_exchange_strong_explicit(p, e, v, mo, fail)            \
    atomic_compare_exchange_strong(p, e, v)


/* ---- the system */

#undef _Thread_local
#define _Thread_local  MODEL_LOCAL

#define malloc(n)              shim_malloc(n)
#define calloc(n, size)        shim_calloc(n, size)
#define free(p)                shim_free(p)
#define malloc_usable_size(p)  shim_usable_size(p)
#define syscall                shim_syscall
#define eventfd(n, flags)      shim_eventfd(n, flags)
#define write(fd, p, n)        shim_write(fd, p, n)
#define close(fd)              shim_close(fd)
#define fstat(fd, st)          shim_fstat(fd, st)
#define clock_gettime(c, ts)   shim_clock(ts)
#define pthread_mutex_init(m, a)      0
#define pthread_mutex_lock(m)         shim_lock(m)
#define pthread_mutex_unlock(m)       shim_unlock(m)
#define BRIDGE_LOOK_MS  (-1)          /* see consumer.c */
#define pthread_condattr_init(a)      ((void) (a), 0)
#define pthread_condattr_setclock(a, c)  0
#define pthread_condattr_destroy(a)   0
#define pthread_cond_init(c, a)       0
#define pthread_cond_wait(c, m)       shim_cond_wait(c, m, NULL)
#define pthread_cond_timedwait(c, m, ts)  shim_cond_wait(c, m, ts)
#define pthread_cond_signal(c)        shim_cond_wake(c, 1)
#define pthread_cond_broadcast(c)     shim_cond_wake(c, INT32_MAX)
#define pthread_getspecific(k)     shim_getspecific(k)
#define pthread_setspecific(k, v)  shim_setspecific(k, v)
#define pthread_key_create(k, f)   shim_key_create(k, f)

void *shim_malloc(size_t size);
void *shim_calloc(size_t n, size_t size);
void shim_free(void *p);
size_t shim_usable_size(void *p);
long shim_syscall(long number, ...);
int shim_eventfd(unsigned n, int flags);
ssize_t shim_write(int fd, const void *p, size_t n);
int shim_close(int fd);
int shim_fstat(int fd, struct stat *st);
int shim_lock(pthread_mutex_t *lock);
int shim_unlock(pthread_mutex_t *lock);
int shim_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock,
    const struct timespec *ts);
int shim_cond_wake(pthread_cond_t *cond, int n);
int shim_clock(struct timespec *ts);
void *shim_getspecific(pthread_key_t key);
int shim_setspecific(pthread_key_t key, const void *value);
int shim_key_create(pthread_key_t *key, void (*end)(void *));

#endif /* MODEL_SHIM_H */
