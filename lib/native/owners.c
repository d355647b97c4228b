/* Owners that are written down instead of given: all of them in a user namespace with a single id, in one with many those beyond its
 * map. What a record looks like is said in owner-record.h. Once keepOwners was called, every function of the addon that
 * changes or tells an owner goes through here, so that nothing above the addon knows the difference. */
#include "addon.h"

#include "owner-record.h"

#include <linux/capability.h>
#include <stdatomic.h>
#include <sys/syscall.h>

/* Descriptor of <store>/owners; -1 while the kernel keeps owners. Set once,
 * before any thread works. */
static int records_fd = -1;
/* True when modes are recorded too: without root, not even of a user
 * namespace, a file of ours without rights for its owner is inaccessible to
 * us, and a directory without them cannot be filled. */
static bool modes_are_kept;

/* Where there are many ids: what the kernel calls the owner of a file that has a record, the last ids of the namespace. A file that
 * was given to somebody else since has none. UINT32_MAX where all owners are written down. */
static uint32_t marked_uid = UINT32_MAX, marked_gid = UINT32_MAX;

bool
owners_are_kept (void)
{
  return records_fd >= 0;
}

static bool
keeps_all (void)
{
  return records_fd >= 0 && marked_uid == UINT32_MAX;
}

/* Access control lists that name ids of the map are the kernel's. */
bool
lists_are_kept (void)
{
  return keeps_all ();
}

static bool
may_have_record (const struct statx *status)
{
  return keeps_all () || (records_fd >= 0 && status->stx_uid == marked_uid && status->stx_gid == marked_gid);
}

static bool
takes_attributes (mode_t mode)
{
  return S_ISREG (mode) || S_ISDIR (mode);
}

static int
look (int dirfd, const char *name, struct statx *status)
{
  return statx (dirfd, name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, status);
}

static void
key_of (const struct statx *status, char key[OWNER_TEXT])
{
  owner_key (key, status->stx_ino, status->stx_btime.tv_sec, status->stx_btime.tv_nsec);
}

static bool
read_owner (int dirfd, const char *name, const struct statx *status, struct owner_record *out)
{
  char text[OWNER_TEXT], key[OWNER_TEXT];
  ssize_t size;
  if (takes_attributes (status->stx_mode))
    size = xattr_get (dirfd, name, OWNER_ATTRIBUTE, text, sizeof text);
  else
    {
      key_of (status, key);
      size = readlinkat (records_fd, key, text, sizeof text);
    }
  return size > 0 && parse_owner (text, (size_t) size, out);
}

/* Where there are many ids, steps look for records from the first one on: it leaves a file, which solver/runtime/owners-beyond.ts names. */
static void
tell_first_record (void)
{
  static atomic_bool is_told;
  if (keeps_all () || atomic_exchange (&is_told, true))
    return;
  int fd = openat (records_fd, "kept", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd >= 0)
    close (fd);
}

static int
write_owner (int dirfd, const char *name, const struct statx *status, const struct owner_record *record)
{
  char text[OWNER_TEXT], key[OWNER_TEXT];
  size_t size = format_owner (record, text);
  if (!is_default_owner (record))
    tell_first_record ();
  if (takes_attributes (status->stx_mode))
    {
      if (!is_default_owner (record))
        return xattr_set (dirfd, name, OWNER_ATTRIBUTE, text, size);
      return xattr_remove (dirfd, name, OWNER_ATTRIBUTE) == 0 || errno == ENODATA || errno == EOPNOTSUPP ? 0 : -1;
    }
  key_of (status, key);
  if (unlinkat (records_fd, key, 0) < 0 && errno != ENOENT)
    return -1;
  return is_default_owner (record) ? 0 : symlinkat (text, records_fd, key);
}

/* Calls statx on (dirfd, name) without following it, and fills in the
 * recorded owner and type. */
int
status_of (int dirfd, const char *name, struct statx *status)
{
  struct owner_record record;
  if (look (dirfd, name, status) < 0)
    return -1;
  if (!may_have_record (status))
    return 0;
  if (!read_owner (dirfd, name, status, &record))
    {
      /* Files that we make are root's, whatever our id is. */
      if (!keeps_all ())
        return 0;
      if (status->stx_uid == geteuid ())
        status->stx_uid = 0;
      if (status->stx_gid == getegid ())
        status->stx_gid = 0;
      return 0;
    }
  status->stx_uid = record.uid;
  status->stx_gid = record.gid;
  if (record.node == 'm')
    status->stx_mode = (uint16_t) ((status->stx_mode & S_IFMT) | (record.major & 07777));
  else if (record.node != 0 && S_ISREG (status->stx_mode))
    {
      status->stx_mode = (uint16_t) ((status->stx_mode & 07777) | (record.node == 'c' ? S_IFCHR : S_IFBLK));
      status->stx_rdev_major = record.major;
      status->stx_rdev_minor = record.minor;
    }
  return 0;
}

/* The kernel's mark of a record, which it needs none of where there is a single id. */
static int
mark (int dirfd, const char *name)
{
  return keeps_all () ? 0 : fchownat (dirfd, name, marked_uid, marked_gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH);
}

/* 0 where the kernel keeps the owner, -1 and EINVAL where it knows no such id. */
static int
give_really (int dirfd, const char *name, uint32_t uid, uint32_t gid)
{
  errno = EINVAL;
  return keeps_all () ? -1 : fchownat (dirfd, name, uid, gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH);
}

int
change_owner (int dirfd, const char *name, uint32_t uid, uint32_t gid)
{
  struct owner_record record = { 0 };
  struct statx status;
  if (records_fd < 0)
    return fchownat (dirfd, name, uid, gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH);
  if (look (dirfd, name, &status) < 0)
    return -1;
  if (may_have_record (&status))
    (void) read_owner (dirfd, name, &status, &record);
  /* A stand-in for a device keeps its record, whatever its owner. */
  if (record.node == 0 && give_really (dirfd, name, uid, gid) == 0)
    return 0;
  if (record.node == 0 && errno != EINVAL)
    return -1;
  record.uid = uid;
  record.gid = gid;
  return mark (dirfd, name) < 0 ? -1 : write_owner (dirfd, name, &status, &record);
}

uint32_t
own_uid (void)
{
  return records_fd < 0 ? geteuid () : 0;
}

uint32_t
own_gid (void)
{
  return records_fd < 0 ? getegid () : 0;
}

/* Returns the rights that we need on a file of ours. */
static mode_t
needed_rights (mode_t type)
{
  return S_ISDIR (type) ? 0700 : 0600;
}

/* Changes the mode of (dirfd, name), without following it. The record is
 * written while there are rights to write it. */
int
change_mode (int dirfd, const char *name, mode_t mode)
{
  struct owner_record record = { 0 };
  struct statx status;
  if (!modes_are_kept || look (dirfd, name, &status) < 0 || !takes_attributes (status.stx_mode))
    return set_mode (dirfd, name, mode);
  mode_t needed = needed_rights (status.stx_mode);
  if (set_mode (dirfd, name, mode | needed) < 0)
    return -1;
  bool is_known = read_owner (dirfd, name, &status, &record);
  bool is_weak = (mode & needed) != needed;
  if (record.node == 'c' || record.node == 'b' || (!is_weak && record.node == 0) || (!is_known && !is_weak))
    return 0;
  record.node = is_weak ? 'm' : 0;
  record.major = is_weak ? mode & 07777 : 0;
  record.minor = 0;
  return write_owner (dirfd, name, &status, &record);
}

int
make_directory (int dirfd, const char *name, mode_t mode)
{
  if (mkdirat (dirfd, name, mode) < 0)
    return -1;
  bool is_weak = modes_are_kept && (mode & 0700) != 0700;
  return is_weak ? change_mode (dirfd, name, mode) : 0;
}

/* Makes a node; a device that no process may make here becomes an empty file
 * with a record. 0:0 is overlayfs's whiteout. */
int
make_node (int dirfd, const char *name, mode_t mode, uint32_t major, uint32_t minor, dev_t device)
{
  int made = make_node_at (dirfd, name, mode, device);
  bool is_device = S_ISCHR (mode) || S_ISBLK (mode);
  if (made == 0 || errno != EPERM || records_fd < 0 || !is_device || device == 0)
    return made;
  struct owner_record record = { .node = S_ISCHR (mode) ? 'c' : 'b', .major = major, .minor = minor };
  struct statx status;
  if (make_node_at (dirfd, name, S_IFREG | (mode & 07777), 0) < 0 || mark (dirfd, name) < 0 || look (dirfd, name, &status) < 0)
    return -1;
  return write_owner (dirfd, name, &status, &record);
}

/* Removes the record before its name. Otherwise it would remain as garbage:
 * another inode has another birth. */
void
forget_owner (int dirfd, const char *name)
{
  char key[OWNER_TEXT];
  struct statx status;
  if (records_fd < 0 || look (dirfd, name, &status) < 0 || takes_attributes (status.stx_mode) || status.stx_nlink > 1)
    return;
  key_of (&status, key);
  (void) unlinkat (records_fd, key, 0);
}

static bool
may_override_rights (void)
{
  struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
  return syscall (SYS_capget, &header, data) == 0 && (data[0].effective & (1U << CAP_DAC_OVERRIDE)) != 0;
}

/* keepOwners(directory, uid, gid): from now on, in this process. */
static napi_value
js_keep_owners (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  path_argument path;
  path_argument_read (&args, 0, &path);
  if (path.error != 0)
    return number (env, -path.error);
  int fd = open (path.bytes, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return outcome (env, -1);
  if (records_fd >= 0)
    close (records_fd);
  records_fd = fd;
  modes_are_kept = !may_override_rights ();
  marked_uid = uint_argument (&args, 1);
  marked_gid = uint_argument (&args, 2);
  return number (env, 0);
}

const exported owner_functions[] = { { "keepOwners", js_keep_owners }, { NULL, NULL } };
