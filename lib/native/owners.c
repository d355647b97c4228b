/* Owners that are written down instead of given, for a user namespace with a single id. What a record looks like is
 * said in owner-record.h. Once keepOwners was called, every function of the addon that changes or tells an owner goes
 * through here, so that nothing above the addon knows the difference. */
#include "addon.h"

#include "owner-record.h"

/* Descriptor of <store>/owners; -1 while owners are the kernel's business. Set once, before any thread works. */
static int records_fd = -1;

bool
owners_are_kept (void)
{
  return records_fd >= 0;
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

static int
write_owner (int dirfd, const char *name, const struct statx *status, const struct owner_record *record)
{
  char text[OWNER_TEXT], key[OWNER_TEXT];
  size_t size = format_owner (record, text);
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

/* statx of (dirfd, name) without following it, with the owner and the kind of file that are written down. */
int
status_of (int dirfd, const char *name, struct statx *status)
{
  struct owner_record record;
  if (look (dirfd, name, status) < 0)
    return -1;
  if (records_fd < 0 || !read_owner (dirfd, name, status, &record))
    return 0;
  status->stx_uid = record.uid;
  status->stx_gid = record.gid;
  if (record.node != 0 && S_ISREG (status->stx_mode))
    {
      status->stx_mode = (uint16_t) ((status->stx_mode & 07777) | (record.node == 'c' ? S_IFCHR : S_IFBLK));
      status->stx_rdev_major = record.major;
      status->stx_rdev_minor = record.minor;
    }
  return 0;
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
  (void) read_owner (dirfd, name, &status, &record);
  record.uid = uid;
  record.gid = gid;
  return write_owner (dirfd, name, &status, &record);
}

/* mknod; a device that nobody may make here becomes an empty file that stands for it. 0:0 is overlayfs's whiteout. */
int
make_node (int dirfd, const char *name, mode_t mode, uint32_t major, uint32_t minor, dev_t device)
{
  int made = mknodat (dirfd, name, mode, device);
  bool is_device = S_ISCHR (mode) || S_ISBLK (mode);
  if (made == 0 || errno != EPERM || records_fd < 0 || !is_device || device == 0)
    return made;
  struct owner_record record = { .node = S_ISCHR (mode) ? 'c' : 'b', .major = major, .minor = minor };
  struct statx status;
  if (mknodat (dirfd, name, S_IFREG | (mode & 07777), 0) < 0 || look (dirfd, name, &status) < 0)
    return -1;
  return write_owner (dirfd, name, &status, &record);
}

/* Before a name goes. A record that stays would be garbage, and nobody's: another inode has another birth. */
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

/* keepOwners(directory): from now on, in this process. */
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
  return number (env, 0);
}

const exported owner_functions[] = { { "keepOwners", js_keep_owners }, { NULL, NULL } };
