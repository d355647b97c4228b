/* The rights of a pretended user on files. The kernel sees the one id, the
 * owner of all files, and would let any user change any of them. So calls
 * that change something are checked where a process is not root: by the
 * recorded owner, the mode and the access control list. Reading a file is
 * not: opening is the commonest call there is. */
#include "pretend.h"

#include "kernel.h"
#include <errno.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <sys/vfs.h>

enum { MAY_READ = 4, MAY_WRITE = 2, MAY_SEARCH = 1, MAX_DEPTH = 256 };

#ifndef PIPEFS_MAGIC
#define PIPEFS_MAGIC 0x50495045
#endif
#ifndef MQUEUE_MAGIC
#define MQUEUE_MAGIC 0x19800202
#endif

/* Tells whether a file is the kernel's own: its owners come from the kernel,
 * without a record. */
static bool
keeps_owners (int fd)
{
  static const long others[] = { PROC_SUPER_MAGIC, SYSFS_MAGIC,   DEVPTS_SUPER_MAGIC, PIPEFS_MAGIC,    SOCKFS_MAGIC,
                                 ANON_INODE_FS_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, MQUEUE_MAGIC };
  struct statfs about;
  if (fstatfs (fd, &about) < 0)
    return false;
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (about.f_type == others[i])
      return false;
  return true;
}

static unsigned int
rights_by_list (const struct identity *caller, struct access_list *list, uint32_t gid)
{
  const struct list_entry *mask = find_tag (list, TAG_MASK);
  unsigned int limit = mask == NULL ? 7 : mask->rights, of_groups = 0;
  bool is_in_some = false;
  for (size_t i = 0; i < list->count; i++)
    {
      const struct list_entry *one = &list->entries[i];
      if (one->tag == TAG_USER && one->id == caller->uid[FILES])
        return one->rights & limit;
      if ((one->tag == TAG_OWNING_GROUP && is_in_group (caller, gid)) || (one->tag == TAG_GROUP && is_in_group (caller, one->id)))
        {
          is_in_some = true;
          of_groups |= one->rights;
        }
    }
  return is_in_some ? of_groups & limit : entry_of_all (list, TAG_OTHERS)->rights;
}

static unsigned int
rights_on (const struct identity *caller, int fd, const struct owner_record *owner, mode_t mode)
{
  static struct access_list list;
  if (caller->uid[FILES] == owner->uid)
    return mode >> 6 & 7;
  if ((S_ISREG (mode) || S_ISDIR (mode)) && find_list (fd, ACCESS_RECORD, &list))
    return rights_by_list (caller, &list, owner->gid);
  return (is_in_group (caller, owner->gid) ? mode >> 3 : mode) & 7;
}

/* Tells whether `caller` has all of the rights `wanted` on the file itself. */
static bool
may (const struct identity *caller, int fd, unsigned int wanted)
{
  struct stat status;
  if (fstat (fd, &status) < 0 || !keeps_owners (fd))
    return true;
  bool is_directory = S_ISDIR (status.st_mode);
  unsigned int given = is_directory || (status.st_mode & 0111) != 0 ? 7 : 6;
  if (has_capability (caller, CAP_DAC_OVERRIDE) && (wanted & ~given) == 0)
    return true;
  if (has_capability (caller, CAP_DAC_READ_SEARCH) && (wanted & MAY_WRITE) == 0 && (is_directory || wanted == MAY_READ))
    return true;
  struct owner_record owner = record_of (fd);
  return (wanted & ~rights_on (caller, fd, &owner, status.st_mode)) == 0;
}

static bool
is_same (int one, int other)
{
  struct stat a, b;
  return fstat (one, &a) == 0 && fstat (other, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* Tells whether each directory from the root down to this one may be
 * searched. We are in the container's root, so ".." ends there. */
bool
may_reach (const struct identity *caller, int directory)
{
  if (has_capability (caller, CAP_DAC_OVERRIDE) || has_capability (caller, CAP_DAC_READ_SEARCH))
    return true;
  int fd = fcntl (directory, F_DUPFD_CLOEXEC, 0);
  bool reached = fd >= 0;
  for (int depth = 0; reached && depth < MAX_DEPTH; depth++)
    {
      reached = may (caller, fd, MAY_SEARCH);
      int parent = openat (fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
      bool is_root = parent < 0 || is_same (parent, fd);
      (void) close (fd);
      fd = parent;
      if (is_root)
        break;
    }
  if (fd >= 0)
    (void) close (fd);
  return reached;
}

/* A new name in `directory`. */
bool
may_add_name (const struct identity *caller, int directory)
{
  return may (caller, directory, MAY_WRITE | MAY_SEARCH) && may_reach (caller, directory);
}

static bool
is_owner (const struct identity *caller, int fd)
{
  return record_of (fd).uid == caller->uid[FILES] || has_capability (caller, CAP_FOWNER);
}

/* 0, or the errno for taking `name` out of `directory`. What is not there is for the kernel to say. */
static int
refusal_to_remove (const struct identity *caller, int directory, const char *name)
{
  struct stat status;
  cleanup_fd int file = openat (directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (!may_add_name (caller, directory))
    return file < 0 && may_reach (caller, directory) ? 0 : EACCES;
  if (file < 0 || fstat (directory, &status) < 0 || (status.st_mode & S_ISVTX) == 0)
    return 0;
  return is_owner (caller, file) || is_owner (caller, directory) ? 0 : EPERM;
}

static struct answer
refuse (int error)
{
  return error == 0 ? LET_THE_KERNEL : answer_error (error);
}

/* A directory and a name in it, as a call gives them. */
struct entry_name
{
  int directory;
  char name[256];
};

static bool
read_entry (const struct seccomp_notif *call, int dirfd, uint64_t address, struct entry_name *out)
{
  char path[4096];
  if (!read_path ((pid_t) call->pid, address, path))
    return false;
  out->directory = resolve_parent ((pid_t) call->pid, dirfd, path, out->name);
  return out->directory >= 0;
}

struct answer
check_removal (const struct seccomp_notif *call, int dirfd, uint64_t path)
{
  struct entry_name entry;
  const struct identity *caller = identity_of ((pid_t) call->pid);
  if (has_capability (caller, CAP_DAC_OVERRIDE) || !read_entry (call, dirfd, path, &entry))
    return LET_THE_KERNEL;
  int error = refusal_to_remove (caller, entry.directory, entry.name);
  (void) close (entry.directory);
  return refuse (error);
}

struct answer
check_rename (const struct seccomp_notif *call, int from_fd, uint64_t from, int into_fd, uint64_t into)
{
  struct entry_name entry;
  const struct identity *caller = identity_of ((pid_t) call->pid);
  struct answer answer = check_removal (call, from_fd, from);
  if (!answer.carry_on || has_capability (caller, CAP_DAC_OVERRIDE) || !read_entry (call, into_fd, into, &entry))
    return answer;
  int error = !may_add_name (caller, entry.directory) ? EACCES : refusal_to_remove (caller, entry.directory, entry.name);
  (void) close (entry.directory);
  return refuse (error);
}

/* A second name for a file: of one's own, or one that may be written to (fs.protected_hardlinks). */
struct answer
check_link (const struct seccomp_notif *call, int from_fd, uint64_t from, int into_fd, uint64_t into)
{
  struct entry_name entry;
  char path[4096];
  const struct identity *caller = identity_of ((pid_t) call->pid);
  if (has_capability (caller, CAP_DAC_OVERRIDE) || !read_path ((pid_t) call->pid, from, path) || path[0] == '\0'
      || !read_entry (call, into_fd, into, &entry))
    return LET_THE_KERNEL;
  cleanup_fd int file = resolve ((pid_t) call->pid, from_fd, path, false);
  bool may_add = may_add_name (caller, entry.directory);
  (void) close (entry.directory);
  if (file < 0)
    return LET_THE_KERNEL;
  struct stat status;
  bool is_plain = fstat (file, &status) == 0 && S_ISREG (status.st_mode) && (status.st_mode & (S_ISUID | S_ISGID)) == 0;
  if (!is_owner (caller, file) && !(is_plain && may (caller, file, MAY_READ | MAY_WRITE)))
    return answer_error (EPERM);
  return refuse (may_add ? 0 : EACCES);
}

/* Tells whether the file may be opened this way; `parent` is its directory,
 * or -1 if unknown. */
bool
may_open (const struct identity *caller, int parent, int fd, int flags)
{
  int way = flags & O_ACCMODE;
  unsigned int wanted = way == O_RDONLY ? MAY_READ : way == O_WRONLY ? MAY_WRITE : MAY_READ | MAY_WRITE;
  return may (caller, fd, wanted | ((flags & O_TRUNC) != 0 ? MAY_WRITE : 0)) && (parent < 0 || may_reach (caller, parent));
}

/* Handles chmod by a process other than the owner's; and the set-gid bit
 * goes if the process is not in the file's group. */
struct answer
check_mode (const struct seccomp_notif *call, int fd, mode_t mode)
{
  const struct identity *caller = identity_of ((pid_t) call->pid);
  char number[16];
  struct stat status;
  if (fd < 0 || fstat (fd, &status) < 0 || !keeps_owners (fd))
    return LET_THE_KERNEL;
  struct owner_record owner = record_of (fd);
  if (owner.uid != caller->uid[FILES] && !has_capability (caller, CAP_FOWNER))
    return answer_error (EPERM);
  if ((mode & S_ISGID) == 0 || is_in_group (caller, owner.gid) || has_capability (caller, CAP_FSETID))
    return LET_THE_KERNEL;
  (void) snprintf (number, sizeof number, "%d", fd);
  return answer_error (use_own_descriptors () < 0 || chmod (number, mode & 05777) < 0 ? errno : 0);
}

/* Handles changes of times: any by the owner, the present ones by every
 * process with write access. */
struct answer
check_times (const struct seccomp_notif *call, int fd, bool are_now)
{
  const struct identity *caller = identity_of ((pid_t) call->pid);
  if (fd < 0 || !keeps_owners (fd) || is_owner (caller, fd) || (are_now && may (caller, fd, MAY_WRITE)))
    return LET_THE_KERNEL;
  return answer_error (are_now ? EACCES : EPERM);
}

/* access() and its kin: the answer to the question itself, for the real ids or the effective ones. */
struct answer
tell_access (const struct seccomp_notif *call, int parent, int fd, unsigned int wanted, bool by_effective)
{
  struct identity caller = *identity_of ((pid_t) call->pid);
  if (fd < 0 || !keeps_owners (fd) || wanted > 7)
    return LET_THE_KERNEL;
  if (!by_effective)
    {
      caller.uid[FILES] = caller.uid[REAL];
      caller.gid[FILES] = caller.gid[REAL];
      caller.capabilities.effective = caller.uid[REAL] == 0 ? caller.capabilities.permitted : 0;
    }
  if (parent >= 0 && !may_reach (&caller, parent))
    return answer_error (EACCES);
  return may (&caller, fd, wanted) ? LET_THE_KERNEL : answer_error (EACCES);
}
