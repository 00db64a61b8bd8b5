// SPDX-License-Identifier: GPL-2.0-or-later
//
// faults: makes calls of a program on chosen files fail, as a broken, full or slow disk does.
//
//   gcc -O2 -Wall -shared -fPIC -o faults.so faults.c
//   FAULTS=control LD_PRELOAD=./faults.so program
//
// The file `control` says what fails from now on, as long as it is there:
//
//   ERRNO CALLS PATTERNS [short] [turns=BAD/GOOD] [delay=MILLISECONDS]
//
// with names of calls (open, read, write, fsync, rename, unlink, truncate, mmap, allocate) and shell patterns of file
// names, each separated by commas. A directory is named with a slash behind it. ERRNO 0 lets the call through; `short`
// makes a write write half of it first; with `turns`, BAD such calls fail, the next GOOD ones work, and so on. Renaming
// and removing count for the name that goes. Child processes inherit it.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct fault {
    int number;
    int is_short;
};

static unsigned long calls_so_far;

// Whether it is the turn of this call to fail.
static int is_turn(const char *words) {
    const char *turns = strstr(words, "turns=");
    unsigned long bad, good;
    if (!turns || sscanf(turns, "turns=%lu/%lu", &bad, &good) != 2)
        return 1;
    return __atomic_fetch_add(&calls_so_far, 1, __ATOMIC_RELAXED) % (bad + good) < bad;
}

static int is_listed(const char *list, const char *word, int is_pattern) {
    char copy[1024];
    char *rest = copy, *item;
    snprintf(copy, sizeof copy, "%s", list);
    while ((item = strsep(&rest, ",")))
        if (is_pattern ? fnmatch(item, word, 0) == 0 : strcmp(item, word) == 0)
            return 1;
    return 0;
}

// Nothing but system calls in here: what is wrapped below must not be entered again.
static struct fault find_fault(const char *call, const char *path) {
    struct fault fault = {0, 0};
    const char *control = getenv("FAULTS");
    char text[2048], calls[512], patterns[1024], words[256] = "";
    int saved = errno, file = control ? syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        ssize_t size = syscall(SYS_read, file, text, sizeof text - 1);
        syscall(SYS_close, file);
        text[size > 0 ? size : 0] = '\0';
        if (sscanf(text, "%d %511s %1023s %255[^\n]", &fault.number, calls, patterns, words) >= 3) {
            char name[PATH_MAX];
            struct stat status;
            const char *slash = strrchr(path, '/');
            int is_directory = syscall(SYS_newfstatat, AT_FDCWD, path, &status, 0) == 0 && S_ISDIR(status.st_mode);
            snprintf(name, sizeof name, "%s%s", slash ? slash + 1 : path, is_directory ? "/" : "");
            if (is_listed(calls, call, 0) && is_listed(patterns, name, 1)) {
                const char *delay = strstr(words, "delay=");
                long milliseconds = delay ? atol(delay + 6) : 0;
                struct timespec wait = {milliseconds / 1000, milliseconds % 1000 * 1000000};
                if (milliseconds)
                    nanosleep(&wait, NULL);
                fault.is_short = strstr(words, "short") != NULL;
                if (!is_turn(words))
                    fault.number = 0;
            } else {
                fault.number = 0;
            }
        } else {
            fault.number = 0;
        }
    }
    errno = saved;
    return fault;
}

static struct fault find_descriptor_fault(const char *call, int descriptor) {
    char link[64], path[PATH_MAX];
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t size = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    errno = saved;
    path[size > 0 ? size : 0] = '\0';
    return find_fault(call, path);
}

static int fail(struct fault fault) {
    if (fault.number)
        errno = fault.number;
    return fault.number;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                      \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                                        \
        va_end(rest);                                                                                                  \
        return fail(find_fault("open", path)) ? -1 : REAL(name)(path, flags, mode);                                    \
    }

#define OPENAT(name)                                                                                                   \
    int name(int directory, const char *path, int flags, ...) {                                                       \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                                        \
        va_end(rest);                                                                                                  \
        return fail(find_fault("open", path)) ? -1 : REAL(name)(directory, path, flags, mode);                         \
    }

#define FOPEN(name)                                                                                                    \
    FILE *name(const char *path, const char *mode) {                                                                   \
        return fail(find_fault("open", path)) ? NULL : REAL(name)(path, mode);                                         \
    }

#define READ(name, parameters, arguments)                                                                              \
    ssize_t name parameters {                                                                                          \
        return fail(find_descriptor_fault("read", descriptor)) ? -1 : REAL(name) arguments;                            \
    }

#define WRITE(name, parameters, arguments)                                                                             \
    ssize_t name parameters {                                                                                          \
        struct fault fault = find_descriptor_fault("write", descriptor);                                               \
        size_t wanted = size;                                                                                          \
        if (fault.number && fault.is_short && size > 1) {                                                              \
            size /= 2;                                                                                                 \
            fault.number = REAL(name) arguments > 0 ? fault.number : errno;                                            \
            size = wanted;                                                                                             \
        }                                                                                                              \
        return fail(fault) ? -1 : REAL(name) arguments;                                                                \
    }

#define DESCRIPTOR(call, name, parameters, arguments)                                                                  \
    int name parameters {                                                                                              \
        return fail(find_descriptor_fault(call, descriptor)) ? -1 : REAL(name) arguments;                              \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
FOPEN(fopen)
FOPEN(fopen64)
READ(read, (int descriptor, void *to, size_t size), (descriptor, to, size))
READ(pread, (int descriptor, void *to, size_t size, off_t at), (descriptor, to, size, at))
READ(pread64, (int descriptor, void *to, size_t size, off64_t at), (descriptor, to, size, at))
READ(readv, (int descriptor, const struct iovec *to, int count), (descriptor, to, count))
WRITE(write, (int descriptor, const void *from, size_t size), (descriptor, from, size))
WRITE(pwrite, (int descriptor, const void *from, size_t size, off_t at), (descriptor, from, size, at))
WRITE(pwrite64, (int descriptor, const void *from, size_t size, off64_t at), (descriptor, from, size, at))
DESCRIPTOR("fsync", fsync, (int descriptor), (descriptor))
DESCRIPTOR("fsync", fdatasync, (int descriptor), (descriptor))
DESCRIPTOR("truncate", ftruncate, (int descriptor, off_t size), (descriptor, size))
DESCRIPTOR("truncate", ftruncate64, (int descriptor, off64_t size), (descriptor, size))

ssize_t writev(int descriptor, const struct iovec *from, int count) {
    return fail(find_descriptor_fault("write", descriptor)) ? -1 : REAL(writev)(descriptor, from, count);
}

int rename(const char *old, const char *new) {
    return fail(find_fault("rename", old)) ? -1 : REAL(rename)(old, new);
}

int unlink(const char *path) {
    return fail(find_fault("unlink", path)) ? -1 : REAL(unlink)(path);
}

int unlinkat(int directory, const char *path, int flags) {
    return fail(find_fault("unlink", path)) ? -1 : REAL(unlinkat)(directory, path, flags);
}

void *mmap(void *at, size_t size, int access, int flags, int descriptor, off_t from) {
    return descriptor >= 0 && fail(find_descriptor_fault("mmap", descriptor))
               ? MAP_FAILED
               : (void *)syscall(SYS_mmap, at, size, access, flags, descriptor, from);
}

void *mmap64(void *at, size_t size, int access, int flags, int descriptor, off64_t from) {
    return mmap(at, size, access, flags, descriptor, from);
}

int fallocate(int descriptor, int mode, off_t from, off_t size) {
    return fail(find_descriptor_fault("allocate", descriptor)) ? -1 : REAL(fallocate)(descriptor, mode, from, size);
}

int posix_fallocate(int descriptor, off_t from, off_t size) {
    int number = find_descriptor_fault("allocate", descriptor).number;
    return number ? number : REAL(posix_fallocate)(descriptor, from, size);
}

int posix_fallocate64(int descriptor, off64_t from, off64_t size) {
    return posix_fallocate(descriptor, from, size);
}
