// SPDX-License-Identifier: GPL-2.0-or-later
//
// slowsync: makes fsync and fdatasync of a program take SLOWSYNC_US microseconds longer, as on a slower disk.
//
//   gcc -O2 -shared -fPIC -o slowsync.so slowsync.c
//   SLOWSYNC_US=330 LD_PRELOAD=./slowsync.so program
//
// The disk of a virtual machine may acknowledge before anything is safe. What is gained by sharing one fsync among many
// requests then does not show; with this it does.

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int wait_after(int result) {
    const char *setting = getenv("SLOWSYNC_US");
    long delay = setting ? atol(setting) : 0;
    struct timespec wait = {.tv_sec = delay / 1000000, .tv_nsec = delay % 1000000 * 1000};
    int error = errno;
    nanosleep(&wait, NULL);
    errno = error;
    return result;
}

int fsync(int fd) {
    return wait_after(syscall(SYS_fsync, fd));
}

int fdatasync(int fd) {
    return wait_after(syscall(SYS_fdatasync, fd));
}
