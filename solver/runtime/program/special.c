/* File systems without a source, files made of bytes, and paths that are hidden or frozen. */
#include "runtime.h"

#include "kernel.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* Makes a detached mount of a new instance. The kernel takes the pid, ipc
 * and network namespace of the caller. */
int
new_filesystem (const char *type, const char *options, uint64_t attributes)
{
  char copy[512], *rest = NULL;
  cleanup_fd int context = sys_fsopen (type);
  if (context < 0)
    die_errno ("cannot make a %s file system", type);
  if ((size_t) snprintf (copy, sizeof copy, "%s", options) >= sizeof copy)
    die ("the options of a %s file system are too long", type);
  for (char *option = strtok_r (copy, ",", &rest); option != NULL; option = strtok_r (NULL, ",", &rest))
    {
      char *value = strchr (option, '=');
      if (value != NULL)
        *value++ = '\0';
      if (sys_fsconfig (context, value == NULL ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING, option, value) < 0)
        die_errno ("the kernel does not take the option %s of %s", option, type);
    }
  (void) sys_fsconfig (context, FSCONFIG_SET_STRING, "source", type); /* what `df` and `mount` show */
  if (sys_fsconfig (context, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
    die_errno ("cannot make a %s file system", type);
  int fd = sys_fsmount (context, (unsigned int) attributes);
  if (fd < 0)
    die_errno ("cannot mount a %s file system", type);
  return fd;
}

/* Makes a mount of /dev/null to hide a file with: the step's own, with
 * changeable metadata, or the host's, frozen. */
static int
clone_of_null (int root_fd)
{
  struct mount_attr frozen = { .attr_set = MOUNT_ATTR_RDONLY };
  struct stat status;
  cleanup_fd int own = open_in_root (root_fd, "/dev/null", O_PATH, RESOLVE_NO_SYMLINKS);
  if (own >= 0 && fstat (own, &status) == 0 && S_ISCHR (status.st_mode) && status.st_rdev == makedev (1, 3))
    return sys_open_tree (own, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
  int fd = sys_open_tree (AT_FDCWD, "/dev/null", OPEN_TREE_CLONE);
  if (fd >= 0 && sys_mount_setattr (fd, 0, &frozen) < 0)
    die_errno ("cannot freeze /dev/null");
  return fd;
}

/* Directories are covered by an empty read-only tmpfs, files by the step's /dev/null. What this kernel does not have needs no
 * hiding. Links are not followed: /proc and /sys hold none at the paths we are told. */
void
mask (int root_fd, const char *path)
{
  struct stat status;
  cleanup_fd int target = open_in_root (root_fd, path, O_PATH, RESOLVE_NO_SYMLINKS);
  if (target < 0 && (errno == ENOENT || errno == ENOTDIR))
    return;
  if (target < 0 || fstat (target, &status) < 0)
    die_errno ("cannot open %s to hide it", path);
  cleanup_fd int cover = S_ISDIR (status.st_mode)
                           ? new_filesystem ("tmpfs", "size=4k,nr_inodes=2,mode=755", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC)
                           : clone_of_null (root_fd);
  if (cover < 0)
    die_errno ("cannot open /dev/null to hide %s", path);
  if (sys_move_mount (cover, target) < 0)
    die_errno ("cannot hide %s", path);
}

/* A read-only clone of the path, laid over itself. */
void
make_read_only (int root_fd, const char *path)
{
  struct mount_attr read_only = { .attr_set = MOUNT_ATTR_RDONLY };
  cleanup_fd int target = open_in_root (root_fd, path, O_PATH, RESOLVE_NO_SYMLINKS);
  if (target < 0 && (errno == ENOENT || errno == ENOTDIR))
    return;
  if (target < 0)
    die_errno ("cannot open %s to make it read-only", path);
  cleanup_fd int cover = sys_open_tree (target, "", OPEN_TREE_CLONE | AT_RECURSIVE | AT_EMPTY_PATH);
  if (cover < 0 || sys_mount_setattr (cover, AT_RECURSIVE, &read_only) < 0 || sys_move_mount (cover, target) < 0)
    die_errno ("cannot make %s read-only", path);
}

/* Writes the bytes of a step into a new file of the tmpfs that `directory` is the root of, and returns a clone of just
 * that file, ready to be moved to its place. */
int
generated_file (const struct step *step, int directory, bool pretend)
{
  char name[32];
  static unsigned int count;
  struct mount_attr attributes = { .attr_set = step->attributes };

  (void) snprintf (name, sizeof name, "%u", count++);
  cleanup_fd int file = openat (directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0 || !write_all (file, step->data, step->size) || (!pretend && fchown (file, step->uid, step->gid) < 0)
      || fchmod (file, step->mode) < 0)
    die_errno ("cannot write the file for %s", step->target);
  int clone = sys_open_tree (directory, name, OPEN_TREE_CLONE);
  if (clone < 0 || sys_mount_setattr (clone, 0, &attributes) < 0)
    die_errno ("cannot prepare the file for %s", step->target);
  return clone;
}
