/* What a file system may do to a hub: while $FAULTS_FOLDER/full is there, writes to regular files
   fail as on a full disk; while $FAULTS_FOLDER/fsync is there, nothing can be synced; while
   $FAULTS_FOLDER/slow is there, syncing takes 400 ms. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static int is_on(const char *fault) {
    const char *folder = getenv("FAULTS_FOLDER");
    char path[4096];
    if (folder == NULL) return 0;
    snprintf(path, sizeof path, "%s/%s", folder, fault);
    return access(path, F_OK) == 0;
}

static int is_full(int file) {
    struct stat about;
    if (file <= 2 || fstat(file, &about) != 0 || !S_ISREG(about.st_mode)) return 0;
    return is_on("full");
}

#define NEXT(type, name) type next = (type)dlsym(RTLD_NEXT, name)
typedef ssize_t (*write_fn)(int, const void *, size_t);
typedef ssize_t (*pwrite_fn)(int, const void *, size_t, off_t);
typedef int (*sync_fn)(int);

ssize_t write(int file, const void *bytes, size_t size) {
    NEXT(write_fn, "write");
    if (is_full(file)) { errno = ENOSPC; return -1; }
    return next(file, bytes, size);
}

ssize_t pwrite(int file, const void *bytes, size_t size, off_t at) {
    NEXT(pwrite_fn, "pwrite");
    if (is_full(file)) { errno = ENOSPC; return -1; }
    return next(file, bytes, size, at);
}

ssize_t pwrite64(int file, const void *bytes, size_t size, off_t at) {
    return pwrite(file, bytes, size, at);
}

static void be_slow(void) {
    if (is_on("slow")) usleep(400000);
}

int fsync(int file) {
    NEXT(sync_fn, "fsync");
    be_slow();
    if (is_on("fsync")) { errno = EIO; return -1; }
    return next(file);
}

int fdatasync(int file) {
    NEXT(sync_fn, "fdatasync");
    be_slow();
    if (is_on("fsync")) { errno = EIO; return -1; }
    return next(file);
}
