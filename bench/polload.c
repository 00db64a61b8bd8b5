// SPDX-License-Identifier: GPL-2.0-or-later
//
// polload: a closed-loop load generator for Postfix policy servers. One thread, epoll.
//
// Every connection asks, waits for the answer and asks again at once, so the rate is what the server can
// do over that many connections and the wait is what a mail would have felt.
//
//   gcc -O2 -o polload polload.c
//   polload [-t SECONDS] [-w MS] (inet:PORT|unix:PATH) CONNS REQUESTS MODE [SEED] [T0] [KNOWN]
//
// REQUESTS  how many requests; or for how long ("2.5s"); or 0: until SIGTERM or SIGINT.
// MODE      new     each request is a triplet never seen before (same SEED: the same triplets again)
//           retry   the same triplets as `new` with this SEED, from the first on; give T0 to make it later
//           same    one triplet, repeated
//           white   a client under outlook.com, which the stock whitelist lets pass
//           awl     one client address, a new sender each time
//           mixed   half new triplets, a quarter repeats of this run, a quarter from the first KNOWN of `new`
// SEED      a number that decides the triplets (1).
// T0        policy_test_time of every request, in seconds since 1970 (0: the server's own clock).
// KNOWN     how many triplets of `new` the server's database holds already; only for `mixed`.
// -t        give up when no answer comes for this many seconds (30).
// -w        tell on stderr of every answer that took longer than this: the worst of those read at once.
//
// One line on stdout tells connections, answers, rate, waits and kinds of answer. SIGUSR1 prints that line at once
// and starts counting anew: one line for each phase of a test. The exit status is 0 if every request was answered.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 256
#define SIGNALS UINT32_MAX  // the epoll tag of the signal descriptor; connections have theirs from 0 up

typedef struct {
    int fd;
    int length;        // unread octets in buffer
    double asked;      // when the request went out; 0: none is outstanding
    char buffer[8192];
} Connection;

typedef struct {
    double began, last_answer;
    double *waits;  // seconds
    long answers, capacity;
    long dunno, prepend, defer, other;
} Phase;

static const char *mode;
static unsigned seed = 1;
static long test_time, known;
static long sent;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void *grow(void *old, size_t size) {
    void *new = realloc(old, size);
    if (!new) die("realloc");
    return new;
}

// CLOCK_MONOTONIC, so that times on stderr can be compared with those of another program.
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

// splitmix64: 64 well-mixed bits from a counter.
static unsigned long long mix(unsigned long long x) {
    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

// The number of the triplet that request `i` of the mixed mode asks for. New ones have numbers above every database's.
static long mixed_triplet(long i) {
    const long new = 1L << 32;
    unsigned long long r = mix(~(((unsigned long long)seed << 40) + i));
    if (i % 4 == 1 && known) return r % known;
    if (i % 4 == 3) return new + r % i / 2 * 2;  // even requests are new: those exist
    return new + i;
}

// bench/stall.py makes the same triplets: whoever changes them here changes them there.
static int write_request(char *buffer, int size, long i) {
    char name[128], address[64], sender[128], recipient[128];
    long triplet = strcmp(mode, "mixed") ? i : mixed_triplet(i);
    unsigned long long r = mix(((unsigned long long)seed << 40) + triplet);

    strcpy(name, "mail.example.com");
    strcpy(address, "192.0.2.7");
    sprintf(sender, "u%llx@example.com", r);
    strcpy(recipient, "bob@example.org");
    if (!strcmp(mode, "same")) {
        strcpy(sender, "alice@example.com");
    } else if (!strcmp(mode, "white")) {
        sprintf(name, "mail-%llu.outbound.protection.outlook.com", r % 100000);
        sprintf(address, "40.92.%llu.%llu", r % 255, (r >> 8) % 255);
    } else if (strcmp(mode, "awl")) {
        sprintf(name, "host%llu.example%llu.net", r % 1000, (r >> 10) % 1000);
        sprintf(address, "%llu.%llu.%llu.%llu", 1 + (r >> 20) % 99, (r >> 28) % 255, (r >> 36) % 255, 1 + (r >> 44) % 254);
        sprintf(sender, "user%llx@example%llu.com", r & 0xffffff, (r >> 24) % 5000);
        sprintf(recipient, "rcpt%llu@example.org", (r >> 33) % 2000);
    }
    int n = snprintf(buffer, size,
        "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n"
        "client_address=%s\nclient_name=%s\nclient_port=41234\nreverse_client_name=%s\n"
        "server_address=127.0.0.1\nserver_port=25\nhelo_name=%s\n"
        "sender=%s\nrecipient=%s\nrecipient_count=0\nqueue_id=\ninstance=%lx.%llx.0\nsize=12345\n"
        "etrn_domain=\nstress=\nsasl_method=\nsasl_username=\nsasl_sender=\n"
        "ccert_subject=\nccert_issuer=\nccert_fingerprint=\nccert_pubkey_fingerprint=\n"
        "encryption_protocol=TLSv1.3\nencryption_cipher=TLS_AES_256_GCM_SHA384\nencryption_keysize=256\n"
        "policy_context=\n",
        address, name, name, name, sender, recipient, i, r);
    if (test_time) n += snprintf(buffer + n, size - n, "policy_test_time=%ld\n", test_time);
    n += snprintf(buffer + n, size - n, "\n");
    return n;
}

static void ask(Connection *c) {
    char request[8192];
    int n = write_request(request, sizeof request, sent++);
    c->asked = now();
    if (write(c->fd, request, n) != n) die("write");
}

static int connect_to(const char *where) {
    int fd;
    if (!strncmp(where, "unix:", 5)) {
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        snprintf(a.sun_path, sizeof a.sun_path, "%s", where + 5);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect(fd, (void *)&a, sizeof a)) die("connect");
    } else {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(where + 5))};
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, (void *)&a, sizeof a)) die("connect");
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    return fd;
}

static void watch(int epoll, int fd, uint32_t tag) {
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = tag};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e)) die("epoll_ctl");
}

static int watch_signals(int epoll) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, 0);
    watch(epoll, fd, SIGNALS);
    return fd;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void start_phase(Phase *p) {
    double *waits = p->waits;
    long capacity = p->capacity;
    *p = (Phase){.began = now(), .waits = waits, .capacity = capacity};
    p->last_answer = p->began;
}

static void count_answer(Phase *p, const char *answer, double t, double wait) {
    if (p->answers == p->capacity) {
        p->capacity = p->capacity ? 2 * p->capacity : 1 << 16;
        p->waits = grow(p->waits, p->capacity * sizeof *p->waits);
    }
    p->waits[p->answers++] = wait;
    p->last_answer = t;
    if (strstr(answer, "action=DUNNO")) p->dunno++;
    else if (strstr(answer, "action=PREPEND")) p->prepend++;
    else if (strstr(answer, "action=DEFER")) p->defer++;
    else p->other++;
}

static void report(Phase *p, int connections) {
    long n = p->answers;
    double p50 = 0, p99 = 0, max = 0, elapsed = p->last_answer - p->began;
    if (n) {
        qsort(p->waits, n, sizeof *p->waits, by_size);
        p50 = p->waits[n / 2], p99 = p->waits[(long)(n * .99)], max = p->waits[n - 1];
    }
    printf("%s conns=%d n=%ld %.0f req/s  p50=%.2fms p99=%.2fms max=%.2fms  dunno=%ld prepend=%ld defer=%ld other=%ld\n",
           mode, connections, n, n ? n / elapsed : 0, p50 * 1e3, p99 * 1e3, max * 1e3, p->dunno, p->prepend, p->defer, p->other);
    fflush(stdout);
}

static void usage(void) {
    fputs("usage: polload [-t SECONDS] [-w MS] (inet:PORT|unix:PATH) CONNS REQUESTS MODE [SEED] [T0] [KNOWN]\n", stderr);
    exit(2);
}

int main(int argc, char **argv) {
    double patience = 30, slow = 0;
    for (int option; (option = getopt(argc, argv, "t:w:")) != -1;) {
        if (option == 't') patience = atof(optarg);
        else if (option == 'w') slow = atof(optarg) * 1e-3;
        else usage();
    }
    argc -= optind - 1;
    argv += optind - 1;
    if (argc < 5) usage();
    const char *where = argv[1], *amount = argv[3];
    int connections = atoi(argv[2]);
    double seconds = strchr(amount, 's') ? atof(amount) : 0;
    long total = seconds ? 0 : atol(amount);  // 0: no limit
    mode = argv[4];
    if (argc > 5) seed = atoi(argv[5]);
    if (argc > 6) test_time = atol(argv[6]);
    if (argc > 7) known = atol(argv[7]);

    int epoll = epoll_create1(0), signals = watch_signals(epoll);
    Connection *all = calloc(connections, sizeof *all);
    for (int i = 0; i < connections; i++) {
        all[i].fd = connect_to(where);
        watch(epoll, all[i].fd, i);
    }

    Phase phase = {0};
    start_phase(&phase);
    double end = seconds ? phase.began + seconds : 0;
    int stop = 0, outstanding = 0, failed = 0;
    for (int i = 0; i < connections && (!total || sent < total); i++, outstanding++) ask(&all[i]);

    while (outstanding && !failed) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(epoll, events, EVENTS, patience * 1e3);
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) {
            fprintf(stderr, "stalled after %ld\n", phase.answers);
            failed = 1;
        }
        double worst = slow;
        for (int j = 0; j < ready && !failed; j++) {
            if (events[j].data.u32 == SIGNALS) {
                struct signalfd_siginfo signal;
                if (read(signals, &signal, sizeof signal) != sizeof signal) continue;
                if (signal.ssi_signo == SIGUSR1) {
                    report(&phase, connections);
                    start_phase(&phase);
                } else {
                    stop = 1;
                }
                continue;
            }
            Connection *c = &all[events[j].data.u32];
            ssize_t n = read(c->fd, c->buffer + c->length, sizeof c->buffer - c->length - 1);
            if (n <= 0) {
                fprintf(stderr, "closed after %ld: %s\n", phase.answers, n ? strerror(errno) : "end of file");
                failed = 1;
                break;
            }
            c->length += n;
            c->buffer[c->length] = 0;
            if (!strstr(c->buffer, "\n\n")) continue;
            double t = now(), wait = t - c->asked;
            if (slow && wait > worst) worst = wait;
            count_answer(&phase, c->buffer, t, wait);
            c->length = 0;
            if (stop || (total && sent >= total) || (end && t >= end)) outstanding--;
            else ask(c);
        }
        if (slow && worst > slow) fprintf(stderr, "slow: %.1f ms until %.3f\n", worst * 1e3, now());
    }
    report(&phase, connections);
    return failed;
}
