/* exec: a program with the set-uid or set-gid bit runs as its owner, and one with file capabilities has them, as the kernel would
 * do it (fs/exec.c, security/commoncap.c). The kernel itself only sees the one id.
 *
 * Whether the exec succeeds is known afterwards only, and nobody tells us. So the new identity names the program that it is
 * for, and holds once that program is what the process runs (holders.c). */
#include "pretend.h"

#include "kernel.h"
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

enum { MAX_INTERPRETERS = 4 }; /* as the kernel: BINPRM_MAX_RECURSION */

static bool
read_start (int fd, char text[256])
{
  char number[16];
  (void) snprintf (number, sizeof number, "%d", fd);
  if (use_own_descriptors () < 0)
    return false;
  cleanup_fd int file = open (number, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ssize_t n = file < 0 ? -1 : read (file, text, 255);
  if (n < 0)
    return false;
  text[n] = '\0';
  return true;
}

/* The path behind "#!"; false where the program is no script. */
static bool
interpreter_of (int fd, char path[256])
{
  char text[256] = "";
  if (!read_start (fd, text) || strncmp (text, "#!", 2) != 0)
    return false;
  const char *start = text + 2 + strspn (text + 2, " \t");
  (void) snprintf (path, 256, "%.*s", (int) strcspn (start, " \t\n"), start);
  return true;
}

/* Finds the program that finally runs: the interpreter of a script. -1 where
 * it is unknown. */
static int
program_behind (pid_t pid, int fd)
{
  char path[256];
  int program = fcntl (fd, F_DUPFD_CLOEXEC, 0);
  for (int i = 0; i <= MAX_INTERPRETERS && program >= 0; i++)
    {
      struct stat status;
      if (fstat (program, &status) < 0 || !S_ISREG (status.st_mode) || !interpreter_of (program, path))
        return program;
      (void) close (program);
      program = resolve (pid, AT_FDCWD, path, true);
    }
  return program;
}

struct file_capabilities
{
  bool are_there, are_effective;
  uint64_t permitted, inheritable;
};

static struct file_capabilities
capabilities_of_file (int fd)
{
  struct file_capabilities found = { 0 };
  struct vfs_ns_cap_data data = { 0 };
  char number[16];
  (void) snprintf (number, sizeof number, "%d", fd);
  ssize_t size = use_own_descriptors () < 0 ? -1 : getxattr (number, "security.capability", &data, sizeof data);
  if (size < (ssize_t) sizeof (struct vfs_cap_data))
    return found;
  found.are_there = true;
  found.are_effective = (data.magic_etc & VFS_CAP_FLAGS_EFFECTIVE) != 0;
  for (int word = 0; word < 2; word++)
    {
      found.permitted |= (uint64_t) data.data[word].permitted << (32 * word);
      found.inheritable |= (uint64_t) data.data[word].inheritable << (32 * word);
    }
  return found;
}

/* The identity after the exec of a program of that owner, mode and capabilities. */
static void
change_with_program (struct identity *caller, const struct owner_record *owner, mode_t mode, struct file_capabilities of_file)
{
  struct capability_sets *sets = &caller->capabilities;
  bool changes_id = false;
  if ((mode & S_ISUID) != 0)
    {
      changes_id = caller->uid[EFFECTIVE] != owner->uid;
      caller->uid[EFFECTIVE] = owner->uid;
    }
  if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
    {
      changes_id |= caller->gid[EFFECTIVE] != owner->gid;
      caller->gid[EFFECTIVE] = owner->gid;
    }
  bool counts_root = (caller->secure_bits & SECBIT_NOROOT) == 0;
  bool is_root = caller->uid[EFFECTIVE] == 0;
  /* A set-uid root program with capabilities of its own has those alone. */
  bool as_root = counts_root && !(of_file.are_there && caller->uid[REAL] != 0 && is_root);
  if (as_root && (is_root || caller->uid[REAL] == 0))
    of_file = (struct file_capabilities){ .permitted = ~0ULL, .inheritable = ~0ULL, .are_effective = is_root };
  sets->permitted = (of_file.permitted & sets->bounding) | (of_file.inheritable & sets->inheritable);
  sets->ambient = changes_id || of_file.are_there ? 0 : sets->ambient;
  sets->permitted |= sets->ambient;
  sets->effective = of_file.are_effective ? sets->permitted : sets->ambient;
  caller->uid[SAVED] = caller->uid[FILES] = caller->uid[EFFECTIVE];
  caller->gid[SAVED] = caller->gid[FILES] = caller->gid[EFFECTIVE];
  caller->secure_bits &= ~(uint32_t) SECBIT_KEEP_CAPS;
}

static bool
is_changed (const struct identity *one, const struct identity *other)
{
  return memcmp (one, other, offsetof (struct identity, locks_soft)) != 0 || one->secure_bits != other->secure_bits;
}

static bool
grants_nothing (int fd)
{
  struct statvfs mount;
  return fstatvfs (fd, &mount) < 0 || (mount.f_flag & ST_NOSUID) != 0;
}

struct answer
start_program (const struct seccomp_notif *call, int dirfd, uint64_t address, int flags)
{
  pid_t pid = (pid_t) call->pid;
  char path[4096];
  if (!read_path (pid, address, path) || (path[0] == '\0' && (flags & AT_EMPTY_PATH) == 0))
    return LET_THE_KERNEL;
  cleanup_fd int named = resolve (pid, dirfd, path, (flags & AT_SYMLINK_NOFOLLOW) == 0);
  if (named < 0)
    return LET_THE_KERNEL;
  cleanup_fd int program = program_behind (pid, named);
  struct stat status;
  if (program < 0 || fstat (program, &status) < 0 || !S_ISREG (status.st_mode) || (status.st_mode & 0111) == 0)
    return LET_THE_KERNEL;
  struct identity before = *identity_of (pid), caller = before;
  struct file_capabilities of_file = capabilities_of_file (program);
  bool grants = (status.st_mode & (S_ISUID | S_ISGID)) != 0 || of_file.are_there;
  if (grants && (grants_nothing (program) || !may_gain_privileges (pid)))
    {
      status.st_mode &= 0777;
      of_file = (struct file_capabilities){ 0 };
    }
  struct owner_record owner = record_of (program);
  change_with_program (&caller, &owner, status.st_mode, of_file);
  if (!is_changed (&before, &caller) || !is_still_asking (call->id))
    return LET_THE_KERNEL;
  caller.number_before = identity_number (pid);
  caller.program_device = status.st_dev;
  caller.program_inode = status.st_ino;
  (void) become (pid, &caller);
  return LET_THE_KERNEL;
}
