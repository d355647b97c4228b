/* The *at family on (dirfd, name). A final symlink is never followed. */
#include "addon.h"

#include <linux/openat2.h>
#include <stdio.h>
#include <sys/sysmacros.h>

/* Needs Linux 5.6. EAGAIN means that a rename elsewhere raced with RESOLVE_BENEATH or RESOLVE_IN_ROOT and the kernel could
 * not be sure: the manual says to try again. */
int
open_beneath (int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
  struct open_how how = { .flags = (uint64_t) (unsigned int) (flags | O_CLOEXEC), .resolve = resolve };
  if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE)
    how.mode = mode & 07777;
  int fd = -1;
  for (int attempt = 0; attempt < 64; attempt++)
    {
      fd = (int) syscall (SYS_openat2, dirfd, path, &how, sizeof how);
      if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
        break;
    }
  return fd;
}

#define TAKE_PATH(index, variable)                                                                                     \
  path_argument variable;                                                                                              \
  path_argument_read (&args, index, &variable);                                                                        \
  if (variable.error != 0)                                                                                             \
    return number (env, -variable.error)

static napi_value
js_open (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  TAKE_PATH (1, path);
  return outcome (env, openat (int_argument (&args, 0), path.bytes, int_argument (&args, 2) | O_CLOEXEC,
                               uint_argument (&args, 3)));
}

static napi_value
js_openat2 (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  TAKE_PATH (1, path);
  return outcome (env, open_beneath (int_argument (&args, 0), path.bytes, int_argument (&args, 2),
                                     uint_argument (&args, 3), uint_argument (&args, 4)));
}

static napi_value
js_close (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  return outcome (env, close (int_argument (&args, 0)));
}

static napi_value
js_mkdirat (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  TAKE_PATH (1, path);
  return outcome (env, make_directory (int_argument (&args, 0), path.bytes, uint_argument (&args, 2)));
}

static napi_value
js_symlinkat (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  TAKE_PATH (0, target);
  TAKE_PATH (2, path);
  return outcome (env, symlinkat (target.bytes, int_argument (&args, 1), path.bytes));
}

static napi_value
js_linkat (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  TAKE_PATH (1, from);
  TAKE_PATH (3, to);
  return outcome (env, linkat (int_argument (&args, 0), from.bytes, int_argument (&args, 2), to.bytes,
                               int_argument (&args, 4)));
}

static napi_value
js_mknodat (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  TAKE_PATH (1, path);
  uint32_t major = uint_argument (&args, 3), minor = uint_argument (&args, 4);
  return outcome (env, make_node (int_argument (&args, 0), path.bytes, uint_argument (&args, 2), major, minor,
                                  makedev (major, minor)));
}

static napi_value
js_unlinkat (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  TAKE_PATH (1, path);
  forget_owner (int_argument (&args, 0), path.bytes);
  return outcome (env, unlinkat (int_argument (&args, 0), path.bytes, int_argument (&args, 2)));
}

static napi_value
js_renameat (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  TAKE_PATH (1, from);
  TAKE_PATH (3, to);
  return outcome (env, renameat (int_argument (&args, 0), from.bytes, int_argument (&args, 2), to.bytes));
}

/* Reads into a buffer of the caller; returns the length. */
static napi_value
js_readlinkat (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  TAKE_PATH (1, path);
  span out = bytes_argument (&args, 2);
  return outcome (env, readlinkat (int_argument (&args, 0), path.bytes, (char *) out.bytes, out.length));
}

static napi_value
js_fchownat (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  TAKE_PATH (1, path);
  return outcome (env, change_owner (int_argument (&args, 0), path.bytes, uint_argument (&args, 2),
                                     uint_argument (&args, 3)));
}

/* Changes the mode of `path` (of the descriptor itself when empty);
 * EOPNOTSUPP for a symlink: its mode means nothing. Before Linux 6.6
 * (fchmodat2) there is no such call, and a checked name may be a symlink a
 * moment later, so the file is held by descriptor meanwhile. */
int
set_mode (int dirfd, const char *path, mode_t mode)
{
  long done = syscall (452 /* fchmodat2 */, dirfd, path, mode, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH);
  if (done == 0 || (errno != ENOSYS && errno != EPERM))
    return (int) done;
  int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
  cleanup_fd int fd = path[0] == '\0' ? fcntl (dirfd, F_DUPFD_CLOEXEC, 0) : openat (dirfd, path, flags);
  struct stat status;
  if (fd < 0 || file_status (fd, &status) < 0)
    return -1;
  if (S_ISLNK (status.st_mode))
    {
      errno = EOPNOTSUPP;
      return -1;
    }
  char self[64];
  snprintf (self, sizeof self, "/proc/self/fd/%d", fd);
  return chmod (self, mode);
}

static napi_value
js_fchmodat (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  TAKE_PATH (1, path);
  return outcome (env, change_mode (int_argument (&args, 0), path.bytes, uint_argument (&args, 2)));
}

/* The same, and never written down. */
static napi_value
js_chmod_outside (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  TAKE_PATH (1, path);
  return outcome (env, set_mode (int_argument (&args, 0), path.bytes, uint_argument (&args, 2)));
}

static struct timespec
to_timespec (int64_t ns)
{
  int64_t seconds = ns / 1000000000, rest = ns % 1000000000;
  if (rest < 0)
    {
      seconds -= 1;
      rest += 1000000000;
    }
  return (struct timespec){ .tv_sec = seconds, .tv_nsec = rest };
}

static napi_value
js_utimensat (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  TAKE_PATH (1, path);
  struct timespec times[2] = { to_timespec (int64_argument (&args, 3)), to_timespec (int64_argument (&args, 2)) };
  return outcome (env, utimensat (int_argument (&args, 0), path.bytes, times, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
}

/* Fills 16 doubles, in the order that native.ts reads them. */
static napi_value
js_statat (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  TAKE_PATH (1, path);
  span out = bytes_argument (&args, 2);
  struct statx status;
  if (out.length < 16 * sizeof (double))
    return number (env, -EINVAL);
  if (status_of (int_argument (&args, 0), path.bytes, &status) < 0)
    return outcome (env, -1);
  double values[16] = {
    (double) status.stx_mode,
    (double) status.stx_uid,
    (double) status.stx_gid,
    (double) status.stx_size,
    (double) status.stx_mtime.tv_sec,
    (double) status.stx_mtime.tv_nsec,
    (double) status.stx_ctime.tv_sec,
    (double) status.stx_ctime.tv_nsec,
    (double) (status.stx_ino >> 32),
    (double) (status.stx_ino & 0xFFFFFFFFu),
    (double) makedev (status.stx_dev_major, status.stx_dev_minor),
    (double) status.stx_rdev_major,
    (double) status.stx_rdev_minor,
    (double) status.stx_nlink,
    (double) status.stx_blocks * 512,
    0,
  };
  memcpy (out.bytes, values, sizeof values);
  return number (env, 0);
}

const exported at_functions[] = {
  { "open", js_open },           { "openat2", js_openat2 },       { "close", js_close },
  { "mkdirat", js_mkdirat },     { "symlinkat", js_symlinkat },   { "linkat", js_linkat },
  { "mknodat", js_mknodat },     { "unlinkat", js_unlinkat },     { "renameat", js_renameat },
  { "readlinkat", js_readlinkat }, { "fchownat", js_fchownat },   { "fchmodat", js_fchmodat },
  { "chmodOutside", js_chmod_outside },
  { "utimensat", js_utimensat }, { "statat", js_statat },         { NULL, NULL },
};
