/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * usage: refuse unshare|both COMMAND...
 *
 * Runs a command in which unshare() is refused, as Docker's default profile
 * does, or besides it each clone() of a thread that does not share all.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD(what)  BPF_STMT(BPF_LD|BPF_W|BPF_ABS,                            \
                             offsetof(struct seccomp_data, what))
#define ALLOW       BPF_STMT(BPF_RET|BPF_K, SECCOMP_RET_ALLOW)
#define REFUSE      BPF_STMT(BPF_RET|BPF_K, SECCOMP_RET_ERRNO|EPERM)


int
main(int argc, char **argv)
{
    struct sock_filter  filter[] = {
        LOAD(nr),
        BPF_JUMP(BPF_JMP|BPF_JEQ|BPF_K, SYS_unshare, 0, 1),
        REFUSE,
        BPF_JUMP(BPF_JMP|BPF_JEQ|BPF_K, SYS_clone, 1, 0),
        ALLOW,
        LOAD(args[0]),
        BPF_JUMP(BPF_JMP|BPF_JSET|BPF_K, CLONE_THREAD, 1, 0),
        ALLOW,
        BPF_JUMP(BPF_JMP|BPF_JSET|BPF_K, CLONE_FILES, 1, 0),
        REFUSE,
        ALLOW,
    };

    struct sock_fprog  program = { 0, filter };

    if (argc < 3) {
        return 2;
    }

    program.len = sizeof(filter) / sizeof(filter[0]);

    if (strcmp(argv[1], "unshare") == 0) {
        program.len = 5;
        filter[3] = (struct sock_filter) ALLOW;
    }

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1
        || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == -1)
    {
        perror("refuse");
        return 1;
    }

    execvp(argv[2], argv + 2);
    perror(argv[2]);

    return 1;
}
