/* Extended attributes of (dirfd, name), without following a final symlink; an empty name means the descriptor itself. */
#include "addon.h"

#include <stdio.h>
#include <sys/xattr.h>

/* Linux 6.13 has setxattrat and its kin. Before, the way to a name below a descriptor is /proc/self/fd. The calls may also be
 * refused by an old seccomp policy with EPERM, so what counts is whether a bad descriptor is seen as one. */
enum { SETXATTRAT = 463, GETXATTRAT = 464, LISTXATTRAT = 465, REMOVEXATTRAT = 466 };

struct xattr_value
{
  uint64_t value;
  uint32_t size;
  uint32_t flags;
};

static bool
has_xattrat (void)
{
  static int known; /* 0 unknown, 1 yes, 2 no; threads that race here write the same answer */
  int answer = __atomic_load_n (&known, __ATOMIC_RELAXED);
  if (answer == 0)
    {
      long probe = syscall (LISTXATTRAT, -1, "x", AT_SYMLINK_NOFOLLOW, NULL, 0);
      answer = probe < 0 && errno == EBADF ? 1 : 2;
      __atomic_store_n (&known, answer, __ATOMIC_RELAXED);
    }
  return answer == 1;
}

/* Tells whether the new calls serve: with an empty name they act on the descriptor itself, and refuse one opened with
 * O_PATH, as ours are. */
static int
takes_xattrat (const char *name)
{
  return name[0] != '\0' && has_xattrat ();
}

enum { AT_FLAGS = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH };

static int
proc_path (char *out, size_t size, int dirfd, const char *name)
{
  int length = dirfd == AT_FDCWD   ? snprintf (out, size, "%s", name)
               : name[0] == '\0' ? snprintf (out, size, "/proc/self/fd/%d", dirfd)
                                   : snprintf (out, size, "/proc/self/fd/%d/%s", dirfd, name);
  if (length >= 0 && (size_t) length < size)
    return 0;
  errno = ENAMETOOLONG;
  return -1;
}

static ssize_t
kernel_list (int dirfd, const char *name, char *out, size_t size)
{
  if (takes_xattrat (name))
    return (ssize_t) syscall (LISTXATTRAT, dirfd, name, AT_FLAGS, out, size);
  char path[MAX_PATH + 64];
  if (proc_path (path, sizeof path, dirfd, name) < 0)
    return -1;
  /* The link in /proc itself must be followed, what it names must not. */
  return name[0] == '\0' ? listxattr (path, out, size) : llistxattr (path, out, size);
}

static ssize_t
kernel_get (int dirfd, const char *name, const char *key, void *out, size_t size)
{
  if (takes_xattrat (name))
    {
      struct xattr_value value = { .value = (uint64_t) (uintptr_t) out, .size = (uint32_t) size };
      return (ssize_t) syscall (GETXATTRAT, dirfd, name, AT_FLAGS, key, &value, sizeof value);
    }
  char path[MAX_PATH + 64];
  if (proc_path (path, sizeof path, dirfd, name) < 0)
    return -1;
  return name[0] == '\0' ? getxattr (path, key, out, size) : lgetxattr (path, key, out, size);
}

static int
kernel_set (int dirfd, const char *name, const char *key, const void *data, size_t size)
{
  if (takes_xattrat (name))
    {
      struct xattr_value value = { .value = (uint64_t) (uintptr_t) data, .size = (uint32_t) size };
      return (int) syscall (SETXATTRAT, dirfd, name, AT_FLAGS, key, &value, sizeof value);
    }
  char path[MAX_PATH + 64];
  if (proc_path (path, sizeof path, dirfd, name) < 0)
    return -1;
  return name[0] == '\0' ? setxattr (path, key, data, size, 0) : lsetxattr (path, key, data, size, 0);
}

static int
kernel_remove (int dirfd, const char *name, const char *key)
{
  if (takes_xattrat (name))
    return (int) syscall (REMOVEXATTRAT, dirfd, name, AT_FLAGS, key);
  char path[MAX_PATH + 64];
  if (proc_path (path, sizeof path, dirfd, name) < 0)
    return -1;
  return name[0] == '\0' ? removexattr (path, key) : lremovexattr (path, key);
}

/* Capabilities of a file are root's to give. Where owners are written down they are too, under a name of ours. */
#define CAPABILITY "security.capability"
#define WRITTEN_CAPABILITY "user.kiln.capability"

static bool
is_capability (const char *key)
{
  return owners_are_kept () && strcmp (key, CAPABILITY) == 0;
}

ssize_t
xattr_list (int dirfd, const char *name, char *out, size_t size)
{
  ssize_t used = kernel_list (dirfd, name, out, size);
  if (used <= 0 || size == 0 || !owners_are_kept ())
    return used;
  ssize_t kept = 0;
  for (ssize_t at = 0; at < used;)
    {
      size_t length = strlen (out + at) + 1;
      bool is_written = strcmp (out + at, WRITTEN_CAPABILITY) == 0;
      size_t told = is_written ? sizeof CAPABILITY : length;
      memmove (out + kept, is_written ? CAPABILITY : out + at, told);
      at += (ssize_t) length;
      kept += (ssize_t) told;
    }
  return kept;
}

ssize_t
xattr_get (int dirfd, const char *name, const char *key, void *out, size_t size)
{
  ssize_t got = kernel_get (dirfd, name, key, out, size);
  return got < 0 && errno == ENODATA && is_capability (key) ? kernel_get (dirfd, name, WRITTEN_CAPABILITY, out, size) : got;
}

int
xattr_set (int dirfd, const char *name, const char *key, const void *data, size_t size)
{
  int done = kernel_set (dirfd, name, key, data, size);
  return done < 0 && errno == EPERM && is_capability (key) ? kernel_set (dirfd, name, WRITTEN_CAPABILITY, data, size) : done;
}

int
xattr_remove (int dirfd, const char *name, const char *key)
{
  int done = kernel_remove (dirfd, name, key);
  return done < 0 && errno == ENODATA && is_capability (key) ? kernel_remove (dirfd, name, WRITTEN_CAPABILITY) : done;
}
