/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BENCH_CONNECT_H
#define BENCH_CONNECT_H

/* What the clients of the benchmark share: a connection, or the end. */

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>


/* Says what has failed, with errno's text, and ends the program. */
static inline void
die(const char *what)
{
    perror(what);
    exit(1);
}


/* Blocking, to a port of the loopback address, or to a unix socket. */
static inline int
connect_to(const char *address)
{
    int                 fd, port, rc;
    struct sockaddr_in  in;
    struct sockaddr_un  un;

    port = atoi(address);
    fd = socket(port ? AF_INET : AF_UNIX, SOCK_STREAM, 0);

    if (fd == -1) {
        die("socket");
    }

    if (port) {
        memset(&in, 0, sizeof(in));
        in.sin_family = AF_INET;
        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        in.sin_port = htons((uint16_t) port);
        rc = connect(fd, (struct sockaddr *) &in, sizeof(in));

    } else {
        memset(&un, 0, sizeof(un));
        un.sun_family = AF_UNIX;
        snprintf(un.sun_path, sizeof(un.sun_path), "%s", address);
        rc = connect(fd, (struct sockaddr *) &un, sizeof(un));
    }

    if (rc) {
        die(address);
    }

    return fd;
}

#endif /* BENCH_CONNECT_H */
