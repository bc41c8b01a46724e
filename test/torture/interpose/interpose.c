/*
 * Stands between a process and the system (LD_PRELOAD): records what the process does to the files beneath one folder, in the order in which it took effect, and makes one of
 * these calls fail, or kills the process at it. index.ts builds it, sets its variables and reads what it records.
 *
 *   INTERPOSE_UNDER   the folder: calls on other files go through untouched
 *   INTERPOSE_TRACE   the file that records are appended to (struct record, then the name, then the data)
 *   INTERPOSE_COUNT   the kinds of calls that are counted from 1, as letters of the kinds below; only those on files that INTERPOSE_COUNTED names
 *   INTERPOSE_COUNTED the folder whose files are counted; by default all that are recorded
 *   INTERPOSE_AT      "N ACTION [ERRNO]": what becomes of the Nth counted call
 *   INTERPOSE_CALLS   the file that a line is appended to for every counted call: its kind, and the path that the file was opened by; of a rename two, with a zero byte between
 *
 *   kill         the process is killed before the call        kill-after   ... after it        kill-within  ... after half of a write
 *   fail         the call fails with ERRNO, and nothing was done
 *   fail-always  and so does every counted call after it
 *   drop         a sync fails, and what it should have synced is gone from the page cache: reads find what was there before; the next sync through each other descriptor of the file fails too
 *   drop-always  and so does every later one; writes go on to be taken
 *   short        a write writes half and says so
 *
 * A lock is held over each call and its record, so the order of the trace is the order of the effects; of syncs, beginning and end are recorded, and others go on between.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind {
  OPEN = 'o', WRITE = 'w', TRUNCATE = 't', SYNC = 's', SYNCED = 'S', RENAME = 'n', UNLINK = 'u', MKDIR = 'm', RMDIR = 'r', READ = 'd', CLOSE = 'c', LOCK = 'l', MAP = 'p'
};

/* Flags of a record. */
enum { CREATED = 1, TRUNCATED = 2, SYNCHRONOUS = 4, DIRECTORY = 8, WRITABLE_MAP = 16 };

struct record {
  uint8_t kind;
  uint8_t flags;
  uint16_t failed; /* errno, 0 where it succeeded */
  uint32_t nameSize;
  uint64_t file; /* inode */
  uint64_t offset;
  uint64_t dataSize;
};

struct descriptor {
  int watched;
  int counted;
  char *path;
  int flags;
  uint64_t file;
  dev_t device;
  int owed; /* a failure to write back that it has not been told of */
};

/* What a write has replaced and no sync has made good. */
struct replaced {
  struct replaced *older;
  uint64_t file, offset, size, number;
  char bytes[];
};

enum { descriptors = 65536 };
static struct descriptor table[descriptors];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int traceFd = -1, callsFd = -1;
static char under[PATH_MAX], counted[PATH_MAX], kinds[64], action[32];
static uint64_t at, calls, writes;
static int actionErrno, dropping;
static struct replaced *newest;

static void setting(const char *name, char *target, size_t size) {
  const char *value = getenv(name);
  if (value) snprintf(target, size, "%s", value);
}

__attribute__((constructor)) static void begin(void) {
  char trace[PATH_MAX] = "", made[PATH_MAX] = "", what[128] = "";
  setting("INTERPOSE_UNDER", under, sizeof under);
  snprintf(counted, sizeof counted, "%s", under);
  setting("INTERPOSE_COUNTED", counted, sizeof counted);
  setting("INTERPOSE_COUNT", kinds, sizeof kinds);
  setting("INTERPOSE_TRACE", trace, sizeof trace);
  setting("INTERPOSE_CALLS", made, sizeof made);
  setting("INTERPOSE_AT", what, sizeof what);
  unsigned long long position = 0;
  if (sscanf(what, "%llu %31s %d", &position, action, &actionErrno) >= 2) at = position;
  dropping = strncmp(action, "drop", 4) == 0;
  if (*trace) traceFd = syscall(SYS_openat, AT_FDCWD, trace, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (*made) callsFd = syscall(SYS_openat, AT_FDCWD, made, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int isIn(const char *folder, const char *path) {
  size_t size = strlen(folder);
  return size > 0 && path && strncmp(path, folder, size) == 0 && (path[size] == '/' || path[size] == 0);
}

static int isWatched(const char *path) { return isIn(under, path); }

/* Node closes with bare system calls, which nothing can stand before: whether a descriptor is still the same is asked of the system. */
static struct descriptor *watched(int fd) {
  if (fd < 0 || fd >= descriptors || !table[fd].watched) return NULL;
  struct stat found;
  if (fstat(fd, &found) == 0 && found.st_ino == table[fd].file && found.st_dev == table[fd].device) return &table[fd];
  table[fd].watched = 0;
  return NULL;
}

static void note(enum kind kind, int flags, int failed, uint64_t file, uint64_t offset, const char *name, size_t nameSize, const struct iovec *data, int pieces, size_t dataSize) {
  if (traceFd < 0) return;
  struct record head = { kind, flags, failed, nameSize, file, offset, dataSize };
  struct iovec all[64];
  int count = 0;
  all[count++] = (struct iovec){ &head, sizeof head };
  if (nameSize > 0) all[count++] = (struct iovec){ (void *)name, nameSize };
  for (int i = 0; i < pieces && dataSize > 0 && count < 64; i++) {
    size_t size = data[i].iov_len < dataSize ? data[i].iov_len : dataSize;
    all[count++] = (struct iovec){ data[i].iov_base, size };
    dataSize -= size;
  }
  size_t total = 0;
  for (int i = 0; i < count; i++) total += all[i].iov_len;
  if (dataSize != 0 || syscall(SYS_writev, traceFd, all, count) != (long)total) abort(); /* a trace with holes would prove nothing */
}

static void noteName(enum kind kind, int flags, int failed, uint64_t file, const char *name) { note(kind, flags, failed, file, 0, name, strlen(name), NULL, 0, 0); }

static void die(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

/* Counts a call. Returns the action that it meets, or NULL. Call with the lock held. */
static const char *meets(enum kind kind, int isCounted, const char *name, size_t nameSize) {
  if (!isCounted || !strchr(kinds, kind)) return NULL;
  uint64_t number = ++calls;
  if (callsFd >= 0) {
    char letter = kind;
    struct iovec line[] = { { &letter, 1 }, { (void *)name, nameSize }, { "\n", 1 } };
    if (syscall(SYS_writev, callsFd, line, 3) != (long)(nameSize + 2)) abort();
  }
  int always = strstr(action, "-always") != NULL;
  if (at == 0 || (number != at && !(always && number > at))) return NULL;
  if (strcmp(action, "kill") == 0) die();
  return action;
}

static int isFailure(const char *met) { return met && (strncmp(met, "fail", 4) == 0); }
static void dieAfter(const char *met) {
  if (met && strcmp(met, "kill-after") == 0) die();
}

#define REAL(type, name, ...) \
  static type (*real)(__VA_ARGS__); \
  if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static int opened(int dirfd, const char *path, int flags, mode_t mode) {
  if (!isWatched(path)) return syscall(SYS_openat, dirfd, path, flags, mode);
  pthread_mutex_lock(&lock);
  int isCounted = isIn(counted, path);
  const char *met = meets(OPEN, isCounted, path, strlen(path));
  if (isFailure(met)) {
    noteName(OPEN, 0, actionErrno, 0, path);
    pthread_mutex_unlock(&lock);
    errno = actionErrno;
    return -1;
  }
  int isNew = (flags & O_CREAT) && syscall(SYS_faccessat, dirfd, path, F_OK) != 0;
  int fd = syscall(SYS_openat, dirfd, path, flags, mode);
  int failed = fd < 0 ? errno : 0;
  struct stat found;
  if (fd >= 0 && fd < descriptors && fstat(fd, &found) == 0) {
    free(table[fd].path);
    table[fd] = (struct descriptor){ 1, isCounted, strdup(path), flags, found.st_ino, found.st_dev, 0 };
    noteName(OPEN, (isNew ? CREATED : 0) | (flags & O_TRUNC ? TRUNCATED : 0) | (S_ISDIR(found.st_mode) ? DIRECTORY : 0), 0, found.st_ino, path);
  } else noteName(OPEN, 0, failed, 0, path);
  dieAfter(met);
  pthread_mutex_unlock(&lock);
  errno = failed;
  return fd;
}

#define OPENER(name) \
  int name(const char *path, int flags, ...) { \
    va_list more; \
    va_start(more, flags); \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
    va_end(more); \
    return opened(AT_FDCWD, path, flags, mode); \
  }
OPENER(open)
OPENER(open64)

#define OPENER_AT(name) \
  int name(int dirfd, const char *path, int flags, ...) { \
    va_list more; \
    va_start(more, flags); \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
    va_end(more); \
    return opened(dirfd, path, flags, mode); \
  }
OPENER_AT(openat)
OPENER_AT(openat64)

int close(int fd) {
  struct descriptor *one = watched(fd);
  if (!one) return syscall(SYS_close, fd);
  pthread_mutex_lock(&lock);
  const char *met = meets(CLOSE, one->counted, one->path, strlen(one->path));
  note(CLOSE, 0, 0, one->file, 0, NULL, 0, NULL, 0, 0);
  one->watched = 0;
  int result = syscall(SYS_close, fd);
  int failed = isFailure(met) ? actionErrno : result < 0 ? errno : 0; /* a close that fails has closed all the same */
  dieAfter(met);
  pthread_mutex_unlock(&lock);
  errno = failed;
  return failed ? -1 : result;
}

static void keepReplaced(int fd, uint64_t file, uint64_t offset, uint64_t size) {
  struct replaced *old = calloc(1, sizeof *old + size); /* beyond the end of the file there were zeros */
  if (!old) abort();
  char name[64];
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  int reader = syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC); /* `fd` may be open for writing only */
  if (reader < 0 || syscall(SYS_pread64, reader, old->bytes, size, offset) < 0) abort();
  syscall(SYS_close, reader);
  old->older = newest;
  old->file = file;
  old->offset = offset;
  old->size = size;
  old->number = ++writes;
  newest = old;
}

/* Forgets what has been replaced in a file up to a write, newest first; puts it back before, where a descriptor is given. */
static void forgetReplaced(uint64_t file, uint64_t upTo, int fd) {
  int writer = -1, any = 0;
  for (struct replaced *old = newest; old && !any; old = old->older) any = old->file == file && old->number <= upTo;
  if (any && fd >= 0) { /* of a directory there is nothing */
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    writer = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CLOEXEC);
    if (writer < 0) abort();
  }
  for (struct replaced **link = &newest; *link;) {
    struct replaced *old = *link;
    if (old->file != file || old->number > upTo) {
      link = &old->older;
      continue;
    }
    if (writer >= 0 && syscall(SYS_pwrite64, writer, old->bytes, old->size, old->offset) != (long)old->size) abort();
    *link = old->older;
    free(old);
  }
  if (writer >= 0) syscall(SYS_close, writer);
}

/* `offset` < 0: at the descriptor's position. */
static ssize_t wrote(int fd, struct descriptor *one, const struct iovec *data, int pieces, off_t offset) {
  pthread_mutex_lock(&lock);
  const char *met = meets(WRITE, one->counted, one->path, strlen(one->path));
  size_t size = 0;
  for (int i = 0; i < pieces; i++) size += data[i].iov_len;
  if (isFailure(met)) {
    note(WRITE, 0, actionErrno, one->file, offset < 0 ? 0 : offset, NULL, 0, NULL, 0, 0);
    pthread_mutex_unlock(&lock);
    errno = actionErrno;
    return -1;
  }
  struct iovec part[64];
  if (met && (strcmp(met, "short") == 0 || strcmp(met, "kill-within") == 0) && size > 1) {
    size_t left = size / 2;
    int count = 0;
    for (; count < pieces && count < 64 && left > 0; count++) {
      part[count] = data[count];
      if (part[count].iov_len > left) part[count].iov_len = left;
      left -= part[count].iov_len;
    }
    data = part;
    pieces = count;
    size = size / 2;
  }
  off_t start = offset;
  if (offset < 0) {
    struct stat found;
    start = one->flags & O_APPEND && fstat(fd, &found) == 0 ? found.st_size : lseek(fd, 0, SEEK_CUR);
  }
  int isSynchronous = (one->flags & O_DSYNC) != 0; /* O_SYNC has its bit too */
  if (dropping && !isSynchronous) keepReplaced(fd, one->file, start, size);
  ssize_t result = offset < 0 ? syscall(SYS_writev, fd, data, pieces) : syscall(SYS_pwritev, fd, data, pieces, (long)offset, 0L);
  int failed = result < 0 ? errno : 0;
  note(WRITE, isSynchronous ? SYNCHRONOUS : 0, failed, one->file, start, NULL, 0, data, pieces, result < 0 ? 0 : result);
  dieAfter(met);
  if (met && strcmp(met, "kill-within") == 0) die();
  pthread_mutex_unlock(&lock);
  errno = failed;
  return result;
}

ssize_t write(int fd, const void *bytes, size_t size) {
  struct descriptor *one = watched(fd);
  if (!one) return syscall(SYS_write, fd, bytes, size);
  return wrote(fd, one, &(struct iovec){ (void *)bytes, size }, 1, -1);
}

#define POSITIONED_WRITE(name) \
  ssize_t name(int fd, const void *bytes, size_t size, off64_t offset) { \
    struct descriptor *one = watched(fd); \
    if (!one) return syscall(SYS_pwrite64, fd, bytes, size, offset); \
    return wrote(fd, one, &(struct iovec){ (void *)bytes, size }, 1, offset); \
  }
POSITIONED_WRITE(pwrite)
POSITIONED_WRITE(pwrite64)

ssize_t writev(int fd, const struct iovec *data, int pieces) {
  struct descriptor *one = watched(fd);
  if (!one) return syscall(SYS_writev, fd, data, pieces);
  return wrote(fd, one, data, pieces, -1);
}

#define POSITIONED_WRITEV(name) \
  ssize_t name(int fd, const struct iovec *data, int pieces, off64_t offset) { \
    struct descriptor *one = watched(fd); \
    if (!one) return syscall(SYS_pwritev, fd, data, pieces, (long)offset, 0L); \
    return wrote(fd, one, data, pieces, offset); \
  }
POSITIONED_WRITEV(pwritev)
POSITIONED_WRITEV(pwritev64)

static ssize_t didRead(int fd, struct descriptor *one, const struct iovec *data, int pieces, off_t offset) {
  pthread_mutex_lock(&lock);
  const char *met = meets(READ, one->counted, one->path, strlen(one->path));
  pthread_mutex_unlock(&lock);
  if (isFailure(met)) {
    errno = actionErrno;
    return -1;
  }
  ssize_t result = offset < 0 ? syscall(SYS_readv, fd, data, pieces) : syscall(SYS_preadv, fd, data, pieces, (long)offset, 0L);
  dieAfter(met);
  return result;
}

ssize_t read(int fd, void *bytes, size_t size) {
  struct descriptor *one = watched(fd);
  if (!one) return syscall(SYS_read, fd, bytes, size);
  return didRead(fd, one, &(struct iovec){ bytes, size }, 1, -1);
}

#define POSITIONED_READ(name) \
  ssize_t name(int fd, void *bytes, size_t size, off64_t offset) { \
    struct descriptor *one = watched(fd); \
    if (!one) return syscall(SYS_pread64, fd, bytes, size, offset); \
    return didRead(fd, one, &(struct iovec){ bytes, size }, 1, offset); \
  }
POSITIONED_READ(pread)
POSITIONED_READ(pread64)

static int synced(int fd, long call) {
  struct descriptor *one = watched(fd);
  if (!one) return syscall(call, fd);
  pthread_mutex_lock(&lock);
  const char *met = meets(SYNC, one->counted, one->path, strlen(one->path));
  uint64_t file = one->file, upTo = writes;
  note(SYNC, 0, 0, file, fd, NULL, 0, NULL, 0, 0);
  int failed = isFailure(met) || (met && strncmp(met, "drop", 4) == 0) ? actionErrno : 0;
  if (failed && dropping) {
    forgetReplaced(file, upTo, fd);
    for (int i = 0; i < descriptors; i++)
      if (table[i].watched && table[i].file == file && table[i].device == one->device) table[i].owed = actionErrno;
  }
  if (!failed) failed = one->owed; /* each descriptor is told once, as Linux does */
  one->owed = 0;
  if (!failed) {
    pthread_mutex_unlock(&lock);
    failed = syscall(call, fd) < 0 ? errno : 0;
    pthread_mutex_lock(&lock);
  }
  if (!failed) forgetReplaced(file, upTo, -1);
  note(SYNCED, 0, failed, file, fd, NULL, 0, NULL, 0, 0); /* `offset` joins beginning and end */
  dieAfter(met);
  pthread_mutex_unlock(&lock);
  errno = failed;
  return failed ? -1 : 0;
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

static int truncated(int fd, off_t size) {
  struct descriptor *one = watched(fd);
  if (!one) return syscall(SYS_ftruncate, fd, size);
  pthread_mutex_lock(&lock);
  const char *met = meets(TRUNCATE, one->counted, one->path, strlen(one->path));
  int result = isFailure(met) ? -1 : syscall(SYS_ftruncate, fd, size);
  int failed = isFailure(met) ? actionErrno : result < 0 ? errno : 0;
  note(TRUNCATE, 0, failed, one->file, size, NULL, 0, NULL, 0, 0);
  dieAfter(met);
  pthread_mutex_unlock(&lock);
  errno = failed;
  return result;
}
int ftruncate(int fd, off_t size) { return truncated(fd, size); }
int ftruncate64(int fd, off64_t size) { return truncated(fd, size); }

/* Calls on names; `path` decides whether it is watched. */
static int named(enum kind kind, const char *path, const char *name, size_t nameSize, long call, long first, long second, long third, long fourth) {
  if (!isWatched(path)) return syscall(call, first, second, third, fourth);
  pthread_mutex_lock(&lock);
  const char *met = meets(kind, isIn(counted, path), name, nameSize);
  int result = isFailure(met) ? -1 : syscall(call, first, second, third, fourth);
  int failed = isFailure(met) ? actionErrno : result < 0 ? errno : 0;
  note(kind, 0, failed, 0, 0, name, nameSize, NULL, 0, 0);
  dieAfter(met);
  pthread_mutex_unlock(&lock);
  errno = failed;
  return result;
}

int rename(const char *from, const char *to) {
  char both[2 * PATH_MAX];
  size_t fromSize = strlen(from) + 1;
  if (fromSize > PATH_MAX || strlen(to) >= PATH_MAX) return errno = ENAMETOOLONG, -1;
  memcpy(both, from, fromSize);
  memcpy(both + fromSize, to, strlen(to));
  return named(RENAME, from, both, fromSize + strlen(to), SYS_renameat, AT_FDCWD, (long)from, AT_FDCWD, (long)to);
}
int unlink(const char *path) { return named(UNLINK, path, path, strlen(path), SYS_unlinkat, AT_FDCWD, (long)path, 0, 0); }
int rmdir(const char *path) { return named(RMDIR, path, path, strlen(path), SYS_unlinkat, AT_FDCWD, (long)path, AT_REMOVEDIR, 0); }
int mkdir(const char *path, mode_t mode) { return named(MKDIR, path, path, strlen(path), SYS_mkdirat, AT_FDCWD, (long)path, mode, 0); }

/* Locks and maps are positions to kill or fail at; a map that could be written through would be a hole in the trace, and is noted. */
#define LOCKER(name) \
  int name(int fd, int command, ...) { \
    va_list more; \
    va_start(more, command); \
    void *argument = va_arg(more, void *); \
    va_end(more); \
    REAL(int, name, int, int, ...); \
    struct descriptor *one = watched(fd); \
    int locks = command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW; \
    if (!one || !locks) return real(fd, command, argument); \
    pthread_mutex_lock(&lock); \
    const char *met = meets(LOCK, one->counted, one->path, strlen(one->path)); \
    pthread_mutex_unlock(&lock); \
    if (isFailure(met)) return errno = actionErrno, -1; \
    int result = real(fd, command, argument); \
    int failed = errno; \
    dieAfter(met); \
    errno = failed; \
    return result; \
  }
LOCKER(fcntl)
LOCKER(fcntl64)

#define MAPPER(name) \
  void *name(void *where, size_t size, int protection, int flags, int fd, off64_t offset) { \
    struct descriptor *one = watched(fd); \
    if (!one) return (void *)syscall(SYS_mmap, where, size, protection, flags, fd, offset); \
    pthread_mutex_lock(&lock); \
    const char *met = meets(MAP, one->counted, one->path, strlen(one->path)); \
    if (isFailure(met)) return pthread_mutex_unlock(&lock), errno = actionErrno, MAP_FAILED; \
    void *result = (void *)syscall(SYS_mmap, where, size, protection, flags, fd, offset); \
    int failed = errno; \
    note(MAP, (protection & PROT_WRITE) && (flags & MAP_SHARED) ? WRITABLE_MAP : 0, 0, one->file, offset, NULL, 0, NULL, 0, 0); \
    dieAfter(met); \
    pthread_mutex_unlock(&lock); \
    errno = failed; \
    return result; \
  }
MAPPER(mmap)
MAPPER(mmap64)
