/* New files that the kernel would give another owner, group or mode than
 * they should have: from a process that changed its user, in a set-gid
 * directory, below a default access list, and devices. They are made here,
 * with their records. Existing files are checked when they are opened for
 * writing. See pretend.c for the whole. */
#include "pretend.h"

#include "kernel.h"
#include <errno.h>
#include <linux/capability.h>
#include <sys/sysmacros.h>

/* A new file of the process: its name, its type and its owner. */
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

/* The place of a new file, and the properties it inherits there. */
struct place
{
  int parent;
  char name[256];
  bool is_nameless;
  struct stat directory;
  struct owner_record owner;
  bool has_list;
  struct access_list list; /* the directory's default list */
};

static bool
find_place (const struct creation *new, struct place *place)
{
  pid_t pid = (pid_t) new->call->pid;
  place->is_nameless = new->kind == NEW_FILE && (new->flags & O_TMPFILE) == O_TMPFILE;
  (void) strcpy (place->name, ".");
  place->parent = place->is_nameless ? resolve (pid, new->dirfd, new->path, true)
                                     : resolve_parent (pid, new->dirfd, new->path, place->name);
  if (place->parent < 0 || fstat (place->parent, &place->directory) < 0)
    return false;
  place->has_list = find_list (place->parent, DEFAULT_RECORD, &place->list);
  return true;
}

/* The lists of a new file or directory. A fifo or socket has no attributes: the list is in its mode only. */
static int
give_lists (const struct creation *new, struct place *place, int file, mode_t type)
{
  char number[16];
  struct access_list inherited = place->list;
  mode_t mode = inherit_list (&inherited, new->mode & 07777);
  struct stat status;
  (void) snprintf (number, sizeof number, "%d", file);
  if (fstat (file, &status) < 0 || use_own_descriptors () < 0 || chmod (number, mode | (status.st_mode & S_ISGID)) < 0)
    return errno;
  if (!S_ISREG (type) && !S_ISDIR (type))
    return 0;
  int error = is_extended (&inherited) ? write_list (file, ACCESS_RECORD, &inherited) : 0;
  return error == 0 && S_ISDIR (type) ? write_list (file, DEFAULT_RECORD, &place->list) : error;
}

static struct answer
finish (const struct creation *new, struct place *place, int file, const struct owner_record *record)
{
  struct stat status;
  int error = write_record (file, record);
  if (error == 0 && place->has_list && new->kind != NEW_LINK)
    error = fstat (file, &status) < 0 ? errno : give_lists (new, place, file, status.st_mode & S_IFMT);
  return answer_error (error);
}

static struct answer
create (const struct creation *new, struct place *place)
{
  pid_t pid = (pid_t) new->call->pid;
  const struct identity *caller = identity_of (pid);
  if (!may_add_name (caller, place->parent))
    return answer_error (EACCES);
  bool passes_group = (place->directory.st_mode & S_ISGID) != 0;
  struct owner_record record = { .uid = caller->uid[FILES], .gid = passes_group ? place->owner.gid : caller->gid[FILES] };
  if (new->kind == NEW_NODE && (S_ISCHR (new->mode) || S_ISBLK (new->mode)))
    {
      record.node = S_ISCHR (new->mode) ? 'c' : 'b';
      record.major = major (new->device);
      record.minor = minor (new->device);
    }
  (void) umask (place->has_list ? 0 : umask_of (pid));
  cleanup_fd int made = make (new, place->parent, place->name);
  if (made < 0)
    return errno == EEXIST ? LET_THE_KERNEL : answer_error (errno);
  if (new->kind == NEW_FILE)
    {
      struct answer answer = finish (new, place, made, &record);
      return answer.error != 0 ? answer : hand_descriptor (new->call, made, new->flags);
    }
  made = -1; /* what the other calls return is no descriptor */
  cleanup_fd int file = openat (place->parent, place->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  return file < 0 ? answer_error (errno) : finish (new, place, file, &record);
}

/* Opens what is there already, where the kernel would do it in another way: a stand-in for a device, a file that a pretended
 * user may not write to, and one that pretended root may although the one id may not. */
static struct answer
open_existing (const struct creation *new, int parent, bool one_id_is_root)
{
  pid_t pid = (pid_t) new->call->pid;
  const struct identity *caller = identity_of (pid);
  cleanup_fd int file = resolve (pid, new->dirfd, new->path, (new->flags & O_NOFOLLOW) == 0);
  struct owner_record record = { 0 };
  struct stat status;
  if (file < 0 || (new->flags & O_EXCL) != 0 || fstat (file, &status) < 0)
    return LET_THE_KERNEL;
  bool is_device = find_record (file, &record) && is_stand_in (&record) && S_ISREG (status.st_mode);
  if (ids_are_true () && !is_device)
    return LET_THE_KERNEL;
  if (!may_open (caller, parent, file, new->flags))
    return answer_error (EACCES);
  char number[16];
  (void) snprintf (number, sizeof number, "%d", file);
  int opened = -1;
  if (is_device)
    opened = open_stand_in (&record, new->flags);
  else if (!one_id_is_root && has_capability (caller, CAP_DAC_OVERRIDE) && S_ISREG (status.st_mode) && use_own_descriptors () == 0)
    opened = open (number, (new->flags & ~(O_CREAT | O_NOFOLLOW)) | O_CLOEXEC);
  else
    return LET_THE_KERNEL;
  cleanup_fd int given = opened;
  if (given < 0 || !is_still_asking (new->call->id))
    return answer_error (errno);
  return hand_descriptor (new->call, given, new->flags);
}

/* Root's files need no record, so root's calls go on as they are: this is what most of them come to. */
static bool
is_the_kernels (const struct creation *new, const struct place *place, bool is_device)
{
  const struct identity *caller = identity_of ((pid_t) new->call->pid);
  bool passes_group = (place->directory.st_mode & S_ISGID) != 0 && place->owner.gid != 0;
  return !is_device && !place->has_list && !passes_group && caller->uid[FILES] == 0 && caller->gid[FILES] == 0;
}

static struct answer
create_as (const struct seccomp_notif *call, struct creation new, uint64_t path, bool one_id_is_root)
{
  static struct place place;
  const struct identity *caller = identity_of ((pid_t) call->pid);
  bool is_device = new.kind == NEW_NODE && (S_ISCHR (new.mode) || S_ISBLK (new.mode)) && new.device != 0;
  struct stat there;
  if (is_device && !has_capability (caller, CAP_MKNOD))
    return answer_error (EPERM);
  new.call = call;
  if (!read_path ((pid_t) call->pid, path, new.path))
    return LET_THE_KERNEL;
  if (ids_are_true () && !is_device)
    return new.kind == NEW_FILE ? open_existing (&new, -1, true) : LET_THE_KERNEL;
  bool creates = new.kind != NEW_FILE || (new.flags & O_CREAT) != 0 || (new.flags & O_TMPFILE) == O_TMPFILE;
  /* Whatever stands in the way, the kernel finds the right words for it. */
  bool is_found = find_place (&new, &place);
  cleanup_fd int parent = place.parent;
  if (!is_found || !is_still_asking (call->id))
    return creates || new.kind != NEW_FILE ? LET_THE_KERNEL : open_existing (&new, -1, one_id_is_root);
  if (!place.is_nameless && (!creates || fstatat (parent, place.name, &there, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT))
    return new.kind == NEW_FILE ? open_existing (&new, parent, one_id_is_root) : LET_THE_KERNEL;
  if ((place.directory.st_mode & S_ISGID) != 0)
    place.owner = record_of (parent);
  return is_the_kernels (&new, &place, is_device) ? LET_THE_KERNEL : create (&new, &place);
}

static struct answer
create_link (const struct seccomp_notif *call, uint64_t target, int dirfd, uint64_t path, bool one_id_is_root)
{
  struct creation new = { .kind = NEW_LINK, .dirfd = dirfd };
  return read_path ((pid_t) call->pid, target, new.target) ? create_as (call, new, path, one_id_is_root) : LET_THE_KERNEL;
}

static struct answer
open_new (const struct seccomp_notif *call, int dirfd, uint64_t path, struct open_how how, bool one_id_is_root)
{
  const struct identity *caller = identity_of ((pid_t) call->pid);
  bool only_lists = (how.flags & (O_ACCMODE | O_CREAT | O_TRUNC)) == 0 && (how.flags & O_TMPFILE) != O_TMPFILE;
  if ((how.flags & O_PATH) != 0 || (only_lists && has_capability (caller, CAP_DAC_OVERRIDE)))
    return LET_THE_KERNEL;
  struct creation new = { .kind = NEW_FILE, .dirfd = dirfd, .flags = (int) how.flags, .mode = (mode_t) how.mode };
  return create_as (call, new, path, one_id_is_root);
}

struct answer
answer_creation (const struct seccomp_notif *call, bool one_id_is_root)
{
  const uint64_t *a = (const uint64_t *) (const void *) call->data.args;
  struct creation new = { .kind = NEW_NODE, .dirfd = AT_FDCWD };
  struct open_how how = { 0 };
  switch (call->data.nr)
    {
#ifdef SYS_mkdir
    case SYS_mkdir:
      new.kind = NEW_DIRECTORY;
      new.mode = (mode_t) a[1];
      return create_as (call, new, a[0], one_id_is_root);
    case SYS_mknod:
      new.mode = (mode_t) a[1];
      new.device = a[2];
      return create_as (call, new, a[0], one_id_is_root);
    case SYS_symlink:
      return create_link (call, a[0], AT_FDCWD, a[1], one_id_is_root);
    case SYS_open:
      return open_new (call, AT_FDCWD, a[0], (struct open_how){ .flags = a[1], .mode = a[2] }, one_id_is_root);
    case SYS_creat:
      how = (struct open_how){ .flags = O_CREAT | O_WRONLY | O_TRUNC, .mode = a[1] };
      return open_new (call, AT_FDCWD, a[0], how, one_id_is_root);
#endif
    case SYS_mkdirat:
      new.kind = NEW_DIRECTORY;
      new.dirfd = (int) a[0];
      new.mode = (mode_t) a[2];
      return create_as (call, new, a[1], one_id_is_root);
    case SYS_mknodat:
      new.dirfd = (int) a[0];
      new.mode = (mode_t) a[2];
      new.device = a[3];
      return create_as (call, new, a[1], one_id_is_root);
    case SYS_symlinkat:
      return create_link (call, a[0], (int) a[1], a[2], one_id_is_root);
    case SYS_openat:
      return open_new (call, (int) a[0], a[1], (struct open_how){ .flags = a[2], .mode = a[3] }, one_id_is_root);
    case SYS_openat2:
      if (!read_memory ((pid_t) call->pid, a[2], &how, sizeof how) || how.resolve != 0)
        return LET_THE_KERNEL;
      return open_new (call, (int) a[0], a[1], how, one_id_is_root);
    default:
      return LET_THE_KERNEL;
    }
}
