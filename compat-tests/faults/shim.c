// Preloaded into a broker: lets calls of the process fail or do less, by their count since its start.
//   FAIL_SYNC=n    the n-th fdatasync or fsync fails with EIO
//   FAIL_WRITE=n   the n-th pwrite fails with ENOSPC
//   SHORT_WRITES=1 every pwrite takes a half of what it is given
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_int syncs, writes;

static int setting(const char *name) {
  const char *text = getenv(name);
  return text == NULL ? 0 : atoi(text);
}

static int synced(const char *name, int fd) {
  if (atomic_fetch_add(&syncs, 1) + 1 == setting("FAIL_SYNC")) {
    errno = EIO;
    return -1;
  }
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  return real(fd);
}

int fdatasync(int fd) { return synced("fdatasync", fd); }
int fsync(int fd) { return synced("fsync", fd); }

static ssize_t written(const char *name, int fd, const void *bytes, size_t count, off64_t at) {
  if (atomic_fetch_add(&writes, 1) + 1 == setting("FAIL_WRITE")) {
    errno = ENOSPC;
    return -1;
  }
  ssize_t (*real)(int, const void *, size_t, off64_t) =
      (ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, name);
  return real(fd, bytes, setting("SHORT_WRITES") && count > 1 ? count / 2 : count, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return written("pwrite", fd, bytes, count, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
  return written("pwrite64", fd, bytes, count, at);
}
