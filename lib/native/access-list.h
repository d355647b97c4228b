/* Access control lists that are written down, for a user namespace in which the kernel knows none of the ids they name. Data that
 * flows, with the bytes that getxattr(2) gives (version 2, little-endian):
 *
 *   system.posix_acl_access    ->  the attribute user.kiln.acl of the file; its mode says what the list says of owner, mask and others
 *   system.posix_acl_default   ->  the attribute user.kiln.acl-default of the directory
 *
 * As in the kernel, a list that says no more than the mode is none. Written and read by the addon and by kiln-runtime. */
#ifndef KILN_ACCESS_LIST_H
#define KILN_ACCESS_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#define ACCESS_LIST "system.posix_acl_access"
#define DEFAULT_LIST "system.posix_acl_default"
#define ACCESS_RECORD "user.kiln.acl"
#define DEFAULT_RECORD "user.kiln.acl-default"

enum { TAG_OWNER = 1, TAG_USER = 2, TAG_OWNING_GROUP = 4, TAG_GROUP = 8, TAG_MASK = 16, TAG_OTHERS = 32 };
enum { MAX_LIST_ENTRIES = 500, MAX_LIST_SIZE = 4 + 8 * MAX_LIST_ENTRIES };

struct list_entry
{
  uint16_t tag, rights;
  uint32_t id;
};

/* Entries sorted by tag, as the kernel requires. */
struct access_list
{
  size_t count;
  struct list_entry entries[MAX_LIST_ENTRIES];
};

/* The name under which an attribute that steps and layers know is kept, or NULL for one that is kept as it is. */
static inline const char *
record_of_list (const char *attribute)
{
  if (strcmp (attribute, ACCESS_LIST) == 0)
    return ACCESS_RECORD;
  return strcmp (attribute, DEFAULT_LIST) == 0 ? DEFAULT_RECORD : NULL;
}

static inline bool
is_list_valid (const struct access_list *list)
{
  unsigned int seen = 0, last = 0;
  bool names_somebody = false;
  for (size_t i = 0; i < list->count; i++)
    {
      unsigned int tag = list->entries[i].tag;
      bool is_named = tag == TAG_USER || tag == TAG_GROUP;
      if (tag == 0 || tag > TAG_OTHERS || (tag & (tag - 1)) != 0 || tag < last || (tag == last && !is_named)
          || (list->entries[i].rights & ~7) != 0 || (is_named && list->entries[i].id == UINT32_MAX))
        return false;
      names_somebody |= is_named;
      seen |= tag;
      last = tag;
    }
  unsigned int needed = TAG_OWNER | TAG_OWNING_GROUP | TAG_OTHERS | (names_somebody ? TAG_MASK : 0);
  return (seen & needed) == needed;
}

static inline bool
parse_list (const unsigned char *bytes, size_t size, struct access_list *out)
{
  static const unsigned char version[4] = { 2, 0, 0, 0 };
  out->count = 0;
  if (size < 4 || size > MAX_LIST_SIZE || size % 8 != 4 || memcmp (bytes, version, 4) != 0)
    return false;
  for (const unsigned char *entry = bytes + 4; entry < bytes + size; entry += 8)
    out->entries[out->count++] = (struct list_entry){
      .tag = (uint16_t) (entry[0] | entry[1] << 8),
      .rights = (uint16_t) (entry[2] | entry[3] << 8),
      .id = entry[4] | (uint32_t) entry[5] << 8 | (uint32_t) entry[6] << 16 | (uint32_t) entry[7] << 24,
    };
  return is_list_valid (out);
}

static inline size_t
format_list (const struct access_list *list, unsigned char out[MAX_LIST_SIZE])
{
  unsigned char *entry = out + 4;
  memcpy (out, "\2\0\0\0", 4);
  for (size_t i = 0; i < list->count; i++, entry += 8)
    {
      const struct list_entry *one = &list->entries[i];
      bool is_named = one->tag == TAG_USER || one->tag == TAG_GROUP;
      uint32_t id = is_named ? one->id : UINT32_MAX;
      entry[0] = (unsigned char) one->tag;
      entry[1] = entry[3] = 0;
      entry[2] = (unsigned char) one->rights;
      for (int byte = 0; byte < 4; byte++)
        entry[4 + byte] = (unsigned char) (id >> (8 * byte));
    }
  return (size_t) (entry - out);
}

static inline struct list_entry *
find_tag (struct access_list *list, unsigned int tag)
{
  for (size_t i = 0; i < list->count; i++)
    if (list->entries[i].tag == tag)
      return &list->entries[i];
  return NULL;
}

/* An entry that each valid list has. */
static inline struct list_entry *
entry_of_all (struct access_list *list, unsigned int tag)
{
  struct list_entry *found = find_tag (list, tag);
  return found != NULL ? found : &list->entries[0];
}

/* Tells whether the list says more than a mode can. */
static inline bool
is_extended (const struct access_list *list)
{
  return list->count > 3;
}

/* The entry that the group bits of a mode stand for. */
static inline struct list_entry *
group_class (struct access_list *list)
{
  struct list_entry *mask = find_tag (list, TAG_MASK);
  return mask != NULL ? mask : entry_of_all (list, TAG_OWNING_GROUP);
}

static inline mode_t
mode_of_list (struct access_list *list, mode_t mode)
{
  unsigned int rights = (unsigned int) entry_of_all (list, TAG_OWNER)->rights << 6 | (unsigned int) group_class (list)->rights << 3
                        | entry_of_all (list, TAG_OTHERS)->rights;
  return (mode & ~(mode_t) 0777) | rights;
}

/* chmod changes a list as well: what is kept is only true together with the mode. */
static inline void
follow_mode (struct access_list *list, mode_t mode)
{
  entry_of_all (list, TAG_OWNER)->rights = mode >> 6 & 7;
  group_class (list)->rights = mode >> 3 & 7;
  entry_of_all (list, TAG_OTHERS)->rights = mode & 7;
}

/* Derives a new file's access list (into `list`) from its directory's default list. Returns the file's mode. */
static inline mode_t
inherit_list (struct access_list *list, mode_t mode)
{
  entry_of_all (list, TAG_OWNER)->rights &= mode >> 6 & 7;
  group_class (list)->rights &= mode >> 3 & 7;
  entry_of_all (list, TAG_OTHERS)->rights &= mode & 7;
  return mode_of_list (list, mode);
}

#endif
