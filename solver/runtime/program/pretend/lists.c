/* Access control lists of one file, by descriptor, as they are written down: access-list.h says how. */
#include "pretend.h"

#include <errno.h>
#include <sys/xattr.h>

static const char *
number_of (int fd, char text[16])
{
  (void) snprintf (text, 16, "%d", fd);
  return use_own_descriptors () < 0 ? NULL : text;
}

/* `record` is ACCESS_RECORD or DEFAULT_RECORD. An access list is told with what the file's mode says by now. */
bool
find_list (int fd, const char *record, struct access_list *list)
{
  unsigned char bytes[MAX_LIST_SIZE];
  char text[16];
  struct stat status;
  const char *number = number_of (fd, text);
  ssize_t size = number == NULL ? -1 : getxattr (number, record, bytes, sizeof bytes);
  if (size <= 0 || !parse_list (bytes, (size_t) size, list))
    return false;
  if (strcmp (record, DEFAULT_RECORD) == 0)
    return true;
  if (fstat (fd, &status) < 0)
    return false;
  follow_mode (list, status.st_mode);
  return true;
}

/* Returns 0 or an errno. */
int
remove_list (int fd, const char *record)
{
  char text[16];
  const char *number = number_of (fd, text);
  return number == NULL || (removexattr (number, record) < 0 && errno != ENODATA) ? errno : 0;
}

int
write_list (int fd, const char *record, const struct access_list *list)
{
  unsigned char bytes[MAX_LIST_SIZE];
  char text[16];
  const char *number = number_of (fd, text);
  return number == NULL || setxattr (number, record, bytes, format_list (list, bytes), 0) < 0 ? errno : 0;
}

/* Works like setxattr of system.posix_acl_access: the mode follows, and a
 * list that says no more than a mode is removed. */
int
change_access_list (int fd, struct access_list *list, bool keeps_set_gid)
{
  char text[16];
  struct stat status;
  if (fstat (fd, &status) < 0)
    return errno;
  int error = is_extended (list) ? write_list (fd, ACCESS_RECORD, list) : remove_list (fd, ACCESS_RECORD);
  mode_t mode = mode_of_list (list, status.st_mode & 07777) & (keeps_set_gid ? 07777 : ~(mode_t) S_ISGID);
  const char *number = error != 0 ? NULL : number_of (fd, text);
  if (number == NULL)
    return error != 0 ? error : errno;
  return chmod (number, mode) < 0 ? errno : 0;
}
