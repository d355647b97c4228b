/* New files of a process that became somebody else: they are made here, with that owner written down. A device becomes
 * an empty file that stands for it. See pretend.c for the whole. */
#include "pretend.h"

#include "kernel.h"
#include <errno.h>
#include <sys/sysmacros.h>

/* By its true owner, not the one id's: what a real user could not write to, a pretended one cannot either. */
static bool
may_write_into (const struct identity *who, const struct owner_record *owner, mode_t mode)
{
  unsigned int bits = who->uid[FILES] == owner->uid ? mode >> 6 : is_in_group (who, owner->gid) ? mode >> 3 : mode;
  return who->uid[FILES] == 0 || (bits & 3) == 3;
}

/* A new file of the process: its name, what it is, and whose it will be. */
struct creation
{
  const struct seccomp_notif *call;
  int dirfd;
  char path[4096];
  mode_t mode; /* with the type for mknod */
  dev_t device;
  int flags;           /* of open */
  char target[4096];   /* of a symbolic link */
  enum { NEW_DIRECTORY, NEW_NODE, NEW_LINK, NEW_FILE } kind;
};

static int
make (const struct creation *new, int parent, const char *name)
{
  switch (new->kind)
    {
    case NEW_DIRECTORY:
      return mkdirat (parent, name, new->mode & 07777);
    case NEW_NODE:
      if (S_ISCHR (new->mode) || S_ISBLK (new->mode))
        return mknodat (parent, name, S_IFREG | (new->mode & 07777), 0);
      return mknodat (parent, name, new->mode, 0);
    case NEW_LINK:
      return symlinkat (new->target, parent, name);
    case NEW_FILE:
      if ((new->flags & O_TMPFILE) == O_TMPFILE)
        return openat (parent, ".", new->flags | O_CLOEXEC, new->mode & 07777);
      return openat (parent, name, new->flags | O_EXCL | O_NOFOLLOW | O_CLOEXEC, new->mode & 07777);
    }
  return -1;
}

static struct answer
create (const struct creation *new)
{
  pid_t pid = (pid_t) new->call->pid;
  char name[256] = ".";
  struct stat directory, there;
  bool is_nameless = new->kind == NEW_FILE && (new->flags & O_TMPFILE) == O_TMPFILE;
  cleanup_fd int parent = is_nameless ? resolve (pid, new->dirfd, new->path, true)
                                      : resolve_parent (pid, new->dirfd, new->path, name);
  /* Whatever stands in the way, the kernel finds the right words for it. */
  if (parent < 0 || fstat (parent, &directory) < 0 || !is_still_asking (new->call->id))
    return LET_THE_KERNEL;
  if (!is_nameless && (fstatat (parent, name, &there, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT))
    return LET_THE_KERNEL;
  const struct identity *who = identity_of (pid);
  struct owner_record owner = record_of (parent);
  if (!may_write_into (who, &owner, directory.st_mode))
    return answer_error (EACCES);

  (void) umask (umask_of (pid));
  cleanup_fd int made = make (new, parent, name);
  if (made < 0)
    return errno == EEXIST ? LET_THE_KERNEL : answer_error (errno);
  struct owner_record record = {
    .uid = who->uid[FILES], .gid = (directory.st_mode & S_ISGID) != 0 ? owner.gid : who->gid[FILES]
  };
  if (new->kind == NEW_NODE && (S_ISCHR (new->mode) || S_ISBLK (new->mode)))
    {
      record.node = S_ISCHR (new->mode) ? 'c' : 'b';
      record.major = major (new->device);
      record.minor = minor (new->device);
    }
  if (new->kind == NEW_FILE)
    {
      int error = write_record (made, &record);
      return error != 0 ? answer_error (error) : hand_descriptor (new->call, made, new->flags);
    }
  made = -1; /* what the other calls return is no descriptor */
  cleanup_fd int file = openat (parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  return file < 0 ? answer_error (errno) : answer_error (write_record (file, &record));
}

static struct answer
create_as (const struct seccomp_notif *call, struct creation new, uint64_t path)
{
  const struct identity *who = identity_of ((pid_t) call->pid);
  bool is_device = new.kind == NEW_NODE && (S_ISCHR (new.mode) || S_ISBLK (new.mode)) && new.device != 0;
  if (is_device && who->uid[EFFECTIVE] != 0)
    return answer_error (EPERM);
  /* Root's files need no record, so root's calls go on as they are: this is what most of them come to. */
  if (!is_device && who->uid[FILES] == 0 && who->gid[FILES] == 0)
    return LET_THE_KERNEL;
  new.call = call;
  if (!read_path ((pid_t) call->pid, path, new.path) || !is_still_asking (call->id))
    return LET_THE_KERNEL;
  return create (&new);
}

static struct answer
create_link (const struct seccomp_notif *call, uint64_t target, int dirfd, uint64_t path)
{
  struct creation new = { .kind = NEW_LINK, .dirfd = dirfd };
  return read_path ((pid_t) call->pid, target, new.target) ? create_as (call, new, path) : LET_THE_KERNEL;
}

static struct answer
open_new (const struct seccomp_notif *call, int dirfd, uint64_t path, uint64_t flags, uint64_t mode)
{
  bool creates = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  if (!creates || (flags & O_PATH) != 0)
    return LET_THE_KERNEL;
  return create_as (call, (struct creation){ .kind = NEW_FILE, .dirfd = dirfd, .flags = (int) flags, .mode = (mode_t) mode }, path);
}

struct answer
answer_creation (const struct seccomp_notif *call)
{
  const uint64_t *a = (const uint64_t *) (const void *) call->data.args;
  switch (call->data.nr)
    {
#ifdef SYS_mkdir
    case SYS_mkdir:
      return create_as (call, (struct creation){ .kind = NEW_DIRECTORY, .dirfd = AT_FDCWD, .mode = (mode_t) a[1] }, a[0]);
    case SYS_mknod:
      return create_as (call, (struct creation){ .kind = NEW_NODE, .dirfd = AT_FDCWD, .mode = (mode_t) a[1], .device = a[2] }, a[0]);
    case SYS_symlink:
      return create_link (call, a[0], AT_FDCWD, a[1]);
    case SYS_open:
      return open_new (call, AT_FDCWD, a[0], a[1], a[2]);
    case SYS_creat:
      return open_new (call, AT_FDCWD, a[0], O_CREAT | O_WRONLY | O_TRUNC, a[1]);
#endif
    case SYS_mkdirat:
      return create_as (call, (struct creation){ .kind = NEW_DIRECTORY, .dirfd = (int) a[0], .mode = (mode_t) a[2] }, a[1]);
    case SYS_mknodat:
      return create_as (call, (struct creation){ .kind = NEW_NODE, .dirfd = (int) a[0], .mode = (mode_t) a[2], .device = a[3] }, a[1]);
    case SYS_symlinkat:
      return create_link (call, a[0], (int) a[1], a[2]);
    case SYS_openat:
      return open_new (call, (int) a[0], a[1], a[2], a[3]);
    case SYS_openat2:
      {
        struct open_how how = { 0 };
        if (!read_memory ((pid_t) call->pid, a[2], &how, sizeof how) || how.resolve != 0)
          return LET_THE_KERNEL;
        return open_new (call, (int) a[0], a[1], how.flags, how.mode);
      }
    default:
      return LET_THE_KERNEL;
    }
}
