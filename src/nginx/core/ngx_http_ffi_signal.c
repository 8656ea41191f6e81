/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>

#include <pthread.h>

#include "ngx_http_ffi_signal.h"


#define NGX_HTTP_FFI_SIGNALS  64


static void ngx_http_ffi_reset_signal(int signo);
static void ngx_http_ffi_before_fork(void);
static void ngx_http_ffi_after_fork(void);
static void ngx_http_ffi_in_child(void);


/* a bit for each that is blocked, as in the kernel; a sigset_t is larger */
static _Thread_local uint64_t  ngx_http_ffi_mask;


void
ngx_http_ffi_signals_init(void)
{
    /*
     * nginx reaps every child; a runtime that waits for one of its own would
     * not learn its status.  Workers have no other children.
     */

    ngx_http_ffi_reset_signal(SIGCHLD);

    if (pthread_atfork(ngx_http_ffi_before_fork,
                       ngx_http_ffi_after_fork,
                       ngx_http_ffi_in_child)
        != 0)
    {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "FFI011: lua ffi: pthread_atfork() failed");
    }
}


/* gives a signal its default action where it has nginx's handler */
static void
ngx_http_ffi_reset_signal(int signo)
{
    struct sigaction  sa, io;

    /* nginx has one handler for all, and nobody else takes SIGIO */

    if (sigaction(signo, NULL, &sa) == -1
        || sigaction(SIGIO, NULL, &io) == -1
        || sa.sa_handler != io.sa_handler
        || sa.sa_handler == SIG_DFL
        || sa.sa_handler == SIG_IGN)
    {
        return;
    }

    ngx_memzero(&sa, sizeof(struct sigaction));
    sa.sa_handler = SIG_DFL;
    sigemptyset(&sa.sa_mask);

    (void) sigaction(signo, &sa, NULL);
}


/* a signal for the child must not find nginx's handlers */
static void
ngx_http_ffi_before_fork(void)
{
    int       signo;
    sigset_t  all, mask;

    sigfillset(&all);
    sigemptyset(&mask);
    (void) pthread_sigmask(SIG_SETMASK, &all, &mask);

    ngx_http_ffi_mask = 0;

    for (signo = 1; signo <= NGX_HTTP_FFI_SIGNALS; signo++) {
        if (sigismember(&mask, signo) == 1) {
            ngx_http_ffi_mask |= (uint64_t) 1 << (signo - 1);
        }
    }
}


static void
ngx_http_ffi_after_fork(void)
{
    int       signo;
    sigset_t  mask;

    sigemptyset(&mask);

    for (signo = 1; signo <= NGX_HTTP_FFI_SIGNALS; signo++) {
        if (ngx_http_ffi_mask >> (signo - 1) & 1) {
            sigaddset(&mask, signo);
        }
    }

    (void) pthread_sigmask(SIG_SETMASK, &mask, NULL);
}


static void
ngx_http_ffi_in_child(void)
{
    static const int  signals[] = {
        SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH, SIGTERM, SIGQUIT, SIGINT, SIGALRM,
        SIGCHLD, SIGIO
    };

    ngx_uint_t  i;

    for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        ngx_http_ffi_reset_signal(signals[i]);
    }

    ngx_http_ffi_after_fork();
}
