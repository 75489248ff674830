/* A file system, a disk or a clock that lacks what the variable POOR names, for doctor to find. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

static int lacks(const char *what) {
    const char *named = getenv("POOR");
    return named != NULL && strstr(named, what) != NULL;
}

static int refused(void) {
    errno = EPERM;
    return -1;
}

#define NEXT(type, name) ((type)dlsym(RTLD_NEXT, name))

int symlink(const char *target, const char *path) {
    if (lacks("symlinks")) return refused();
    return NEXT(int (*)(const char *, const char *), "symlink")(target, path);
}

int link(const char *target, const char *path) {
    if (lacks("hard-links")) return refused();
    return NEXT(int (*)(const char *, const char *), "link")(target, path);
}

int linkat(int from, const char *target, int to, const char *path, int flags) {
    if (lacks("hard-links")) return refused();
    return NEXT(int (*)(int, const char *, int, const char *, int), "linkat")(
        from, target, to, path, flags);
}

int chmod(const char *path, mode_t mode) {
    if (lacks("modes")) return 0;
    return NEXT(int (*)(const char *, mode_t), "chmod")(path, mode);
}

int fchmodat(int folder, const char *path, mode_t mode, int flags) {
    if (lacks("modes")) return 0;
    return NEXT(int (*)(int, const char *, mode_t, int), "fchmodat")(folder, path, mode, flags);
}

int setxattr(const char *path, const char *name, const void *value, size_t size, int flags) {
    if (lacks("attributes")) { errno = ENOTSUP; return -1; }
    return NEXT(int (*)(const char *, const char *, const void *, size_t, int), "setxattr")(
        path, name, value, size, flags);
}

int flock(int file, int operation) {
    if (lacks("locks")) { errno = ENOLCK; return -1; }
    return NEXT(int (*)(int, int), "flock")(file, operation);
}

#define STAT(name)                                                                   \
    int name(const char *path, struct name *found) {                                 \
        int (*next)(const char *, struct name *) =                                   \
            NEXT(int (*)(const char *, struct name *), #name);                       \
        size_t length = strlen(path);                                                \
        char other[4096] = "";                                                       \
        if (!lacks("case") || length < 2 || length >= sizeof other ||                \
            strcmp(path + length - 2, "/A") != 0)                                    \
            return next(path, found);                                                \
        memcpy(other, path, length);                                                 \
        other[length - 1] = 'a';                                                     \
        return next(other, found);                                                   \
    }
STAT(stat)
STAT(stat64)

#define STATVFS(name)                                                                \
    int name(const char *path, struct name *found) {                                 \
        int ended = NEXT(int (*)(const char *, struct name *), #name)(path, found);  \
        if (lacks("space")) found->f_bavail = found->f_bfree = 1;                    \
        if (lacks("inodes")) found->f_favail = 100;                                  \
        if (lacks("programs")) found->f_flag |= ST_NOEXEC;                           \
        return ended;                                                                \
    }
STATVFS(statvfs)
STATVFS(statvfs64)

int clock_gettime(clockid_t clock, struct timespec *now) {
    int ended = NEXT(int (*)(clockid_t, struct timespec *), "clock_gettime")(clock, now);
    if (lacks("clock") && clock == CLOCK_REALTIME) now->tv_sec = 86400;
    return ended;
}
