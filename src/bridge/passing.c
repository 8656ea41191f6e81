/* SPDX-License-Identifier: BSD-2-Clause */

#include <string.h>
#include <sys/socket.h>

#include "passing.h"


typedef union {
    struct cmsghdr  header;
    char            room[CMSG_SPACE(sizeof(int))];
} control_t;


static void
prepare(struct msghdr *msg, struct iovec *iov, uint64_t *number,
    control_t *control)
{
    memset(control, 0, sizeof(control_t));
    memset(msg, 0, sizeof(struct msghdr));

    iov->iov_base = number;
    iov->iov_len = sizeof(uint64_t);
    msg->msg_iov = iov;
    msg->msg_iovlen = 1;
    msg->msg_control = control->room;
    msg->msg_controllen = sizeof(control->room);
}


bool
bridge_pass_send(int socket, int fd, uint64_t number)
{
    control_t       control;
    struct iovec    iov;
    struct msghdr   msg;

    prepare(&msg, &iov, &number, &control);

    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));

    return sendmsg(socket, &msg, MSG_DONTWAIT|MSG_NOSIGNAL) != -1;
}


int
bridge_pass_receive(int socket, uint64_t *number)
{
    int              fd;
    control_t        control;
    struct iovec     iov;
    struct msghdr    msg;
    struct cmsghdr  *header;

    prepare(&msg, &iov, number, &control);

    if (recvmsg(socket, &msg, MSG_DONTWAIT|MSG_CMSG_CLOEXEC) == -1) {
        *number = UINT64_MAX;
        return -1;
    }

    header = CMSG_FIRSTHDR(&msg);
    if (header == NULL) {
        return -1;
    }

    memcpy(&fd, CMSG_DATA(header), sizeof(int));

    return fd;
}
