// SPDX-License-Identifier: GPL-2.0-or-later
//
// faults: makes chosen system calls on chosen files fail with EIO, while a file says so.
//
//   gcc -O2 -shared -fPIC -o faults.so faults.c
//   FAULTS=/path/to/faults LD_PRELOAD=./faults.so program
//
// The file FAULTS holds one line: a call (fsync, which fdatasync is too, write, read, unlink), how many calls in turn
// fail and how many work after them (1 0: all fail; 1 1: every other one), and a part of the path of the file that they
// are on. Where there is no such file, all is well.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned long calls;

static int fails(const char *call, const char *path) {
    const char *name = getenv("FAULTS");
    char text[512], wanted[32], part[256];
    unsigned long bad, good;
    long size;
    int fd = name ? (int)syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC, 0) : -1;
    if (fd < 0)
        return 0;
    size = syscall(SYS_read, fd, text, sizeof text - 1);
    close(fd);
    text[size > 0 ? size : 0] = '\0';
    if (sscanf(text, "%31s %lu %lu %255s", wanted, &bad, &good, part) != 4)
        return 0;
    if (strcmp(call, wanted) != 0 || strstr(path, part) == NULL)
        return 0;
    return __atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED) % (bad + good) < bad;
}

static int fails_on(const char *call, int fd) {
    char link[64], path[4096];
    long size;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    size = readlink(link, path, sizeof path - 1);
    path[size > 0 ? size : 0] = '\0';
    return fails(call, path);
}

#define FAIL_IF(condition) \
    do { \
        int before = errno; \
        if (condition) { \
            errno = EIO; \
            return -1; \
        } \
        errno = before; \
    } while (0)

int fsync(int fd) {
    FAIL_IF(fails_on("fsync", fd));
    return syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
    FAIL_IF(fails_on("fsync", fd));
    return syscall(SYS_fdatasync, fd);
}

ssize_t pwrite64(int fd, const void *octets, size_t size, off64_t offset) {
    FAIL_IF(fails_on("write", fd));
    return syscall(SYS_pwrite64, fd, octets, size, offset);
}

ssize_t pwrite(int fd, const void *octets, size_t size, off_t offset) {
    return pwrite64(fd, octets, size, offset);
}

ssize_t pread64(int fd, void *octets, size_t size, off64_t offset) {
    FAIL_IF(fails_on("read", fd));
    return syscall(SYS_pread64, fd, octets, size, offset);
}

ssize_t pread(int fd, void *octets, size_t size, off_t offset) {
    return pread64(fd, octets, size, offset);
}

// Where pwrite and pread fail, Berkeley DB tries these.
ssize_t write(int fd, const void *octets, size_t size) {
    FAIL_IF(fails_on("write", fd));
    return syscall(SYS_write, fd, octets, size);
}

ssize_t read(int fd, void *octets, size_t size) {
    FAIL_IF(fails_on("read", fd));
    return syscall(SYS_read, fd, octets, size);
}

int unlink(const char *path) {
    FAIL_IF(fails("unlink", path));
    return syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}
