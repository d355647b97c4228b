/* System calls that older C libraries do not wrap, and flags that older kernel headers do not name. All of them are
 * called by number: <sys/mount.h> and <linux/mount.h> cannot be included together with glibc 2.36. */
#ifndef KILN_KERNEL_H
#define KILN_KERNEL_H

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif
#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif

static inline int
sys_fsopen (const char *type)
{
  return (int) syscall (SYS_fsopen, type, FSOPEN_CLOEXEC);
}

static inline int
sys_fsconfig (int fd, unsigned int command, const char *key, const char *value)
{
  return (int) syscall (SYS_fsconfig, fd, command, key, value, 0);
}

static inline int
sys_fsmount (int fd, unsigned int attributes)
{
  return (int) syscall (SYS_fsmount, fd, FSMOUNT_CLOEXEC, attributes);
}

static inline int
sys_open_tree (int fd, const char *path, unsigned int flags)
{
  return (int) syscall (SYS_open_tree, fd, path, flags | OPEN_TREE_CLOEXEC);
}

static inline int
sys_move_mount (int from, int to)
{
  return (int) syscall (SYS_move_mount, from, "", to, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static inline int
sys_mount_setattr (int fd, unsigned int flags, struct mount_attr *attributes)
{
  return (int) syscall (SYS_mount_setattr, fd, "", flags | AT_EMPTY_PATH, attributes, sizeof *attributes);
}

/* Resolve `path` below `root_fd` as if that were "/": absolute links and ".." stay inside, whatever the tree holds.
 * Needs Linux 5.6. */
static inline int
open_in_root (int root_fd, const char *path, int flags, uint64_t extra_resolve)
{
  struct open_how how = {
    .flags = (uint64_t) (unsigned int) (flags | O_CLOEXEC),
    .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | extra_resolve,
  };
  return (int) syscall (SYS_openat2, root_fd, path, &how, sizeof how);
}

static inline int
sys_mount (const char *source, const char *target, const char *type, unsigned long flags, const void *data)
{
  return (int) syscall (SYS_mount, source, target, type, flags, data);
}

#endif
