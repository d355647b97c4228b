/* The owner of one file, by descriptor, as it is written down: owner-record.h says how. */
#include "pretend.h"

#include "kernel.h"
#include <errno.h>
#include <sys/xattr.h>

static int records_fd = -1; /* <store>/owners */
static int upper_fd = -1;   /* the upper directory of the step's root, when that is an overlay */

/* The last ids of a namespace with many: a file with a record belongs to them. A file that has another owner since has no record. */
static bool has_mark;
static uint32_t marked_uid, marked_gid;

void
prepare_records (const struct plan *plan)
{
  const char *directory = plan->owner_records != NULL ? plan->owner_records : plan->records_beyond;
  records_fd = open (directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (records_fd < 0)
    die_errno ("cannot open %s to write owners down", directory);
  has_mark = plan->owner_records == NULL;
  marked_uid = plan->last_uid;
  marked_gid = plan->last_gid;
  if (plan->root->upper != NULL && plan->root->upper[0] != '\0')
    upper_fd = open (plan->root->upper, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Users are the kernel's own: only what its map cannot express is written down. */
bool
ids_are_true (void)
{
  return has_mark;
}

bool
is_beyond (uint32_t uid, uint32_t gid)
{
  return (uid != UINT32_MAX && uid > marked_uid) || (gid != UINT32_MAX && gid > marked_gid);
}

static bool
takes_attributes (mode_t mode)
{
  return S_ISREG (mode) || S_ISDIR (mode);
}

/* The inode that will be packed. What an overlay shows of a link has another number than the file in the upper directory
 * may have, so that is looked up there, by the name the kernel gives for the descriptor: we stand in the container's
 * root, so the name is the container's, and it has no symbolic links in it. */
static bool
key_of (int fd, const struct statx *shown, char key[OWNER_TEXT])
{
  struct statx status = *shown;
  char number[16], name[4096];
  if (upper_fd >= 0)
    {
      struct statx root;
      (void) snprintf (number, sizeof number, "%d", fd);
      bool is_in_root = statx (AT_FDCWD, "/", 0, STATX_MNT_ID, &root) == 0 && root.stx_mnt_id == shown->stx_mnt_id;
      ssize_t n = !is_in_root || use_own_descriptors () < 0 ? -1 : readlinkat (AT_FDCWD, number, name, sizeof name - 1);
      if (is_in_root && (n < 2 || name[0] != '/'))
        return false;
      if (is_in_root)
        {
          name[n] = '\0';
          cleanup_fd int file = open_in_root (upper_fd, name + 1, O_PATH | O_NOFOLLOW, RESOLVE_NO_SYMLINKS);
          /* Not there: it is a lower layer's, and what the overlay shows is that layer's own. */
          if (file >= 0 && statx (file, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &status) < 0)
            return false;
        }
    }
  owner_key (key, status.stx_ino, status.stx_btime.tv_sec, status.stx_btime.tv_nsec);
  return true;
}

static bool
look (int fd, struct statx *status)
{
  return statx (fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID, status) == 0;
}

/* Tells whether the file is in the step's tree itself, not on a mount there. */
bool
is_on_root (int fd)
{
  struct statx root, status;
  return statx (AT_FDCWD, "/", 0, STATX_MNT_ID, &root) == 0 && look (fd, &status) && root.stx_mnt_id == status.stx_mnt_id;
}

/* False, and `record` untouched, where nothing is written down. */
bool
find_record (int fd, struct owner_record *record)
{
  char text[OWNER_TEXT], key[OWNER_TEXT], number[16];
  struct statx status;
  ssize_t size = -1;
  if (!look (fd, &status) || (has_mark && (status.stx_uid != marked_uid || status.stx_gid != marked_gid)))
    return false;
  if (takes_attributes (status.stx_mode))
    {
      (void) snprintf (number, sizeof number, "%d", fd);
      if (use_own_descriptors () == 0)
        size = getxattr (number, OWNER_ATTRIBUTE, text, sizeof text);
    }
  else if (key_of (fd, &status, key))
    size = readlinkat (records_fd, key, text, sizeof text);
  return size > 0 && parse_owner (text, (size_t) size, record);
}

/* Root's where nothing else is written down, or the kernel's where it knows all ids. */
struct owner_record
record_of (int fd)
{
  struct owner_record record = { 0 };
  struct stat status;
  if (has_mark && fstat (fd, &status) == 0)
    {
      record.uid = status.st_uid;
      record.gid = status.st_gid;
    }
  (void) find_record (fd, &record);
  return record;
}

/* Gives the file its owner where the kernel knows him; then it has no record. */
static struct owner_record
give_really (int fd, const struct owner_record *record)
{
  if (!has_mark)
    return *record;
  bool is_given = !is_stand_in (record) && fchownat (fd, "", record->uid, record->gid, AT_EMPTY_PATH) == 0;
  if (!is_given)
    (void) fchownat (fd, "", marked_uid, marked_gid, AT_EMPTY_PATH);
  return is_given ? (struct owner_record){ 0 } : *record;
}

/* Returns 0 or an errno. Where there are no attributes (/proc, /dev, an old tmpfs) nothing is packed either. */
int
write_record (int fd, const struct owner_record *wanted)
{
  struct owner_record rest = give_really (fd, wanted), *record = &rest;
  char text[OWNER_TEXT], key[OWNER_TEXT], number[16];
  struct statx status;
  int done = 0;
  if (!look (fd, &status))
    return errno;
  size_t size = format_owner (record, text);
  if (takes_attributes (status.stx_mode))
    {
      (void) snprintf (number, sizeof number, "%d", fd);
      if (use_own_descriptors () < 0)
        return errno;
      done = is_default_owner (record) ? removexattr (number, OWNER_ATTRIBUTE)
                                       : setxattr (number, OWNER_ATTRIBUTE, text, size, 0);
      return done == 0 || errno == ENODATA || errno == EOPNOTSUPP || errno == EPERM ? 0 : errno;
    }
  if (!key_of (fd, &status, key))
    return 0;
  (void) unlinkat (records_fd, key, 0);
  if (!is_default_owner (record))
    done = symlinkat (text, records_fd, key);
  return done == 0 ? 0 : errno;
}
