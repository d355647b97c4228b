/* Records of file owners, for a user namespace with a single id, where the kernel cannot keep them:
 *
 *   chown 33:44 of a file or directory     ->  its attribute user.kiln.owner = "33:44"
 *   chown 33:44 of a link, fifo or socket  ->  <store>/owners/<inode>-<birth>, a symbolic link that leads to "33:44",
 *                                              because such files cannot have user.* attributes
 *   mknod of a device                      ->  an empty file with user.kiln.owner = "0:0:c:1:3"
 *   chmod to a mode that would shut us out ->  user.kiln.owner = "0:0:m:365:0", the mode in decimal, and a mode with rights for
 *                                              its owner; only where nothing lets us pass the rights of files
 *
 * Where there are many ids, only owners beyond them and devices are written down, and such a file belongs to the last id.
 *
 * No record is root's. The attribute goes where the file goes: overlayfs copies it up, hard links share it. A birth time
 * beside the inode's number, because numbers are used again. Written and read by the addon and by kiln-runtime. */
#ifndef KILN_OWNER_RECORD_H
#define KILN_OWNER_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define OWNER_ATTRIBUTE "user.kiln.owner"

enum { OWNER_TEXT = 64 };

struct owner_record
{
  uint32_t uid, gid;
  char node; /* 'c' or 'b' for a device, 'm' for a file with a recorded mode in `major`, 0 for any other file */
  uint32_t major, minor;
};

static inline bool
parse_owner (const char *text, size_t size, struct owner_record *out)
{
  char copy[OWNER_TEXT], end;
  if (size >= sizeof copy)
    return false;
  memcpy (copy, text, size);
  copy[size] = '\0';
  struct owner_record found = { 0 };
  int n = sscanf (copy, "%u:%u:%c:%u:%u%c", &found.uid, &found.gid, &found.node, &found.major, &found.minor, &end);
  if (n != 2 && !(n == 5 && (found.node == 'c' || found.node == 'b' || found.node == 'm')))
    return false;
  *out = found;
  return true;
}

static inline size_t
format_owner (const struct owner_record *record, char out[OWNER_TEXT])
{
  int n = record->node == 0 ? snprintf (out, OWNER_TEXT, "%u:%u", record->uid, record->gid)
                            : snprintf (out, OWNER_TEXT, "%u:%u:%c:%u:%u", record->uid, record->gid, record->node,
                                        record->major, record->minor);
  return (size_t) n;
}

/* Tells whether the file stands for a device. */
static inline bool
is_stand_in (const struct owner_record *record)
{
  return record->node == 'c' || record->node == 'b';
}

static inline bool
is_default_owner (const struct owner_record *record)
{
  return record->uid == 0 && record->gid == 0 && record->node == 0;
}

/* Makes the name under <store>/owners; the birth time is the statx one, zero
 * where the file system keeps none. */
static inline void
owner_key (char out[OWNER_TEXT], uint64_t inode, int64_t seconds, uint32_t nanoseconds)
{
  (void) snprintf (out, OWNER_TEXT, "%llx-%llx.%x", (unsigned long long) inode, (unsigned long long) seconds, nanoseconds);
}

#endif
