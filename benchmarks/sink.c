// A small HTTP/1.1 sink for the benchmarks: one thread, epoll, keep-alive.
//
//     sink [--port N] [--delay MS]
//
// It listens on 127.0.0.1 only, prints the port it got on standard output, and ends when standard input closes,
// so it never outlives the benchmark that started it. Every "EVTnnnnnnn" marker in a request counts as one event
// delivered; a marker seen before counts as a duplicate as well. Nothing counts while the mode is not 200.
//
//     GET /__stats        the counts, and when the first and the last new event came (CLOCK_MONOTONIC, seconds)
//     GET /__mode?MODE    200, 429 or 503: answers so; hang: never answers; close: closes without an answer
//     GET /__delay?MS     answers later by so much
//     GET /__reset        forgets the counts, back to mode 200
//
// Any other request is answered with a GIF under /pixel.gif and with a small JSON object elsewhere.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_FD = 8192,         // connections, by file descriptor
    MARKERS = 10000000,    // EVT0000000 to EVT9999999
    READ_SIZE = 65536,
    MAX_REQUEST = 64 << 20,
    WAITING = 1 << 16,     // answers held back by the delay; a power of two
};
enum { MODE_HANG = -1, MODE_CLOSE = -2 };

typedef struct {
    char *data;
    size_t used, size;
    unsigned generation;  // tells an answer that is held back that its connection is gone
    int open;
} Connection;

typedef struct {
    double due;
    int fd, code, gif;
    unsigned generation;
} Answer;

static Connection connections[MAX_FD];
static Answer waiting[WAITING];
static unsigned long first_waiting, last_waiting;
static unsigned char *seen;
static long requests, events, unique, duplicates, accepted, bytes_in;
static double first_event, last_event;
static int mode = 200, delay_ms, epoll_fd, listen_fd, timer_fd;

static const char GIF[] = "GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\4\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\1D\0;";

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void watch(int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
}

static void drop(int fd) {
    Connection *c = &connections[fd];
    close(fd);
    c->open = 0;
    c->used = 0;
    c->generation++;
}

static void send_answer(int fd, int code, const char *type, const char *body, size_t length) {
    char out[1024];
    int head = snprintf(out, sizeof out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n%sContent-Length: %zu\r\n\r\n", code,
                        code == 200 ? "OK" : "Refused", type, code == 429 ? "Retry-After: 2\r\n" : "", length);
    memcpy(out + head, body, length);
    if (write(fd, out, (size_t)head + length) != (ssize_t)((size_t)head + length)) drop(fd);
}

static void answer(int fd, int code, int gif) {
    static const char ok[] = "{\"code\":200,\"status\":1,\"events_ingested\":1}";
    static const char down[] = "{\"code\":0,\"status\":0,\"error\":\"down\"}";
    if (code != 200) send_answer(fd, code, "application/json", down, sizeof down - 1);
    else if (gif) send_answer(fd, code, "image/gif", GIF, sizeof GIF - 1);
    else send_answer(fd, code, "application/json", ok, sizeof ok - 1);
}

static void set_timer(void) {
    struct itimerspec when = {0};
    if (first_waiting != last_waiting) {
        double due = waiting[first_waiting % WAITING].due;
        when.it_value.tv_sec = (time_t)due;
        when.it_value.tv_nsec = (long)((due - (double)(time_t)due) * 1e9) + 1;
    }
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void hold(int fd, int code, int gif) {
    if (last_waiting - first_waiting >= WAITING) fail("too many answers held back");
    waiting[last_waiting++ % WAITING] = (Answer){now() + delay_ms / 1e3, fd, code, gif, connections[fd].generation};
    if (last_waiting - first_waiting == 1) set_timer();
}

static void send_due_answers(void) {
    unsigned long long expirations;
    double t = now();
    if (read(timer_fd, &expirations, sizeof expirations) < 0 && errno != EAGAIN) fail("timer");
    while (first_waiting != last_waiting && waiting[first_waiting % WAITING].due <= t) {
        Answer *a = &waiting[first_waiting++ % WAITING];
        Connection *c = &connections[a->fd];
        if (c->open && c->generation == a->generation) answer(a->fd, a->code, a->gif);
    }
    set_timer();
}

static void count_marker(long number) {
    events++;
    if (seen[number]) {
        duplicates++;
        return;
    }
    seen[number] = 1;
    last_event = now();
    if (!unique++) first_event = last_event;
}

static void count_markers(const char *at, const char *end) {
    while ((at = memmem(at, (size_t)(end - at), "EVT", 3)) && end - at >= 10) {
        long number = 0;
        int digits = 0;
        for (at += 3; digits < 7 && at[digits] >= '0' && at[digits] <= '9'; digits++)
            number = number * 10 + at[digits] - '0';
        at += digits;
        if (digits == 7) count_marker(number);
    }
}

static void reset(void) {
    memset(seen, 0, MARKERS);
    requests = events = unique = duplicates = accepted = bytes_in = 0;
    first_event = last_event = 0;
    mode = 200;
}

static void set_mode(const char *name) {
    if (!strncmp(name, "hang", 4)) mode = MODE_HANG;
    else if (!strncmp(name, "close", 5)) mode = MODE_CLOSE;
    else mode = atoi(name);
}

static void control(int fd, const char *command) {
    char body[512];
    if (!strncmp(command, "reset", 5)) reset();
    if (!strncmp(command, "mode?", 5)) set_mode(command + 5);
    if (!strncmp(command, "delay?", 6)) delay_ms = atoi(command + 6);
    int n = snprintf(body, sizeof body,
                     "{\"requests\":%ld,\"events\":%ld,\"unique\":%ld,\"duplicates\":%ld,\"connections\":%ld,"
                     "\"bytes\":%ld,\"mode\":%d,\"delay_ms\":%d,\"first\":%.6f,\"last\":%.6f}",
                     requests, events, unique, duplicates, accepted, bytes_in, mode, delay_ms, first_event, last_event);
    send_answer(fd, 200, "application/json", body, (size_t)n);
}

static void handle(int fd, const char *request, size_t length) {
    if (!strncmp(request, "GET /__", 7)) {
        control(fd, request + 7);
        return;
    }
    int gif = memmem(request, length < 64 ? length : 64, " /pixel.gif", 11) != NULL;
    requests++;
    bytes_in += (long)length;
    if (mode == 200) count_markers(request, request + length);
    if (mode == MODE_CLOSE) drop(fd);
    else if (mode == MODE_HANG) return;
    else if (delay_ms) hold(fd, mode, gif);
    else answer(fd, mode, gif);
}

// The length of the first whole request in the buffer; 0 if there is none yet, -1 if it is not one we understand.
static long whole_request(int fd, char *at, size_t length) {
    char *end = memmem(at, length, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t head = (size_t)(end - at) + 4;
    *end = 0;  // so that the searches stay within the head
    char *field = strcasestr(at, "\r\ncontent-length:");
    int chunked = strcasestr(at, "\r\ntransfer-encoding:") != NULL;
    int expects = strcasestr(at, "\r\nexpect: 100") != NULL;
    long body = field ? atol(field + 17) : 0;
    *end = '\r';
    if (chunked || body < 0 || body > MAX_REQUEST) return -1;
    if (length >= head + (size_t)body) return (long)head + body;
    if (expects && length == head && write(fd, "HTTP/1.1 100 Continue\r\n\r\n", 25) < 0) return -1;
    return 0;
}

static void handle_requests(int fd) {
    Connection *c = &connections[fd];
    size_t at = 0;
    while (c->open && at < c->used) {
        long length = whole_request(fd, c->data + at, c->used - at);
        if (length < 0) drop(fd);
        if (length <= 0) break;
        handle(fd, c->data + at, (size_t)length);
        at += (size_t)length;
    }
    if (!c->open) return;
    c->used -= at;
    if (c->used && at) memmove(c->data, c->data + at, c->used);
}

static void receive(int fd) {
    Connection *c = &connections[fd];
    while (c->open) {
        if (c->size - c->used <= READ_SIZE) {
            c->size = c->size ? c->size * 2 : 2 * READ_SIZE;
            if (c->size > 4L * MAX_REQUEST || !(c->data = realloc(c->data, c->size))) fail("buffer");
        }
        ssize_t n = read(fd, c->data + c->used, READ_SIZE);
        if (n > 0) c->used += (size_t)n, c->data[c->used] = 0;
        if (n == 0 || (n < 0 && errno != EAGAIN)) drop(fd);
        if (n < READ_SIZE) break;
    }
    if (c->open && c->used) handle_requests(fd);
}

static void accept_all(void) {
    int fd, on = 1;
    while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= MAX_FD) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connections[fd].open = 1;
        connections[fd].used = 0;
        accepted++;
        watch(fd);
    }
}

static void open_listener(int port) {
    int on = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listen_fd, (void *)&address, size) || listen(listen_fd, 1024)) fail("listen");
    if (getsockname(listen_fd, (void *)&address, &size)) fail("getsockname");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
}

static int parent_is_gone(void) {
    char byte;
    return read(STDIN_FILENO, &byte, 1) <= 0;
}

int main(int count, char **arguments) {
    int port = 0;
    for (int i = 1; i + 1 < count; i += 2) {
        if (!strcmp(arguments[i], "--port")) port = atoi(arguments[i + 1]);
        if (!strcmp(arguments[i], "--delay")) delay_ms = atoi(arguments[i + 1]);
    }
    signal(SIGPIPE, SIG_IGN);
    seen = calloc(MARKERS, 1);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (!seen || epoll_fd < 0 || timer_fd < 0) fail("start");
    open_listener(port);
    watch(listen_fd);
    watch(timer_fd);
    watch(STDIN_FILENO);
    struct epoll_event ready[256];
    for (;;) {
        int n = epoll_wait(epoll_fd, ready, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = ready[i].data.fd;
            if (fd == STDIN_FILENO && parent_is_gone()) return 0;
            else if (fd == listen_fd) accept_all();
            else if (fd == timer_fd) send_due_answers();
            else if (fd != STDIN_FILENO) receive(fd);
        }
    }
}
