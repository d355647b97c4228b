/* Attributes as steps and layers see them: without recorded owners, and with
 * access control lists in place of the attributes that record those
 * (owner-record.h, access-list.h). */
#include "addon.h"

#include "access-list.h"
#include "owner-record.h"

/* The name of the list that an attribute holds, which is longer by a few bytes; NULL for an owner, the name itself for any other. */
const char *
shown_name (const char *name)
{
  if (strcmp (name, OWNER_ATTRIBUTE) == 0)
    return NULL;
  return strcmp (name, ACCESS_RECORD) == 0 ? ACCESS_LIST : strcmp (name, DEFAULT_RECORD) == 0 ? DEFAULT_LIST : name;
}

/* Hides the record of an owner: statat and fchownat report and set it, so it
 * is never seen, copied or packed as an attribute. -1 and ERANGE where the
 * names have no room. */
static ssize_t
translate_names (char *names, ssize_t size, size_t room)
{
  char *copy = malloc ((size_t) size);
  size_t kept = 0;
  if (copy == NULL)
    return -1;
  memcpy (copy, names, (size_t) size);
  for (const char *name = copy; name < copy + size; name += strlen (name) + 1)
    {
      const char *shown = shown_name (name);
      size_t length = shown == NULL ? 0 : strlen (shown) + 1;
      if (kept + length > room)
        {
          free (copy);
          errno = ERANGE;
          return -1;
        }
      if (shown != NULL)
        memcpy (names + kept, shown, length);
      kept += length;
    }
  free (copy);
  return (ssize_t) kept;
}

/* An access list is only true together with the mode: chmod changes both. */
static ssize_t
read_list (int dirfd, const char *name, const char *record, void *out, size_t size)
{
  unsigned char bytes[MAX_LIST_SIZE];
  struct access_list list;
  struct statx status;
  ssize_t length = xattr_get (dirfd, name, record, bytes, sizeof bytes);
  if (length < 0)
    return -1;
  bool is_access = strcmp (record, ACCESS_RECORD) == 0;
  if (!parse_list (bytes, (size_t) length, &list) || (is_access && status_of (dirfd, name, &status) < 0))
    {
      errno = ENODATA;
      return -1;
    }
  if (is_access)
    follow_mode (&list, status.stx_mode);
  size_t needed = format_list (&list, bytes);
  if (size > 0 && size < needed)
    {
      errno = ERANGE;
      return -1;
    }
  if (size > 0)
    memcpy (out, bytes, needed);
  return (ssize_t) needed;
}

/* The name under which an attribute is kept here. */
const char *
kept_name (const char *key)
{
  const char *record = lists_are_kept () ? record_of_list (key) : NULL;
  return record != NULL ? record : key;
}

/* Does the same as xattr_get. */
ssize_t
shown_get (int dirfd, const char *name, const char *key, void *out, size_t size)
{
  const char *kept = kept_name (key);
  return kept == key ? xattr_get (dirfd, name, key, out, size) : read_list (dirfd, name, kept, out, size);
}

/* Does the same as xattr_list. */
ssize_t
shown_list (int dirfd, const char *name, char *out, size_t size)
{
  ssize_t found = xattr_list (dirfd, name, out, size);
  return found > 0 && size > 0 && owners_are_kept () ? translate_names (out, found, size) : found;
}
