/* Headers as Go's archive/tar writes them in its PAX format, which is what BuildKit's layers are made of: plain ustar where
 * everything fits (the prefix field included), else one extended header with the records that do not, sorted by their keys. */
#include "tar-member.h"

#include <stdio.h>

enum { NAME_FIELD = 100, PREFIX_FIELD = 155, MAX_ID = 07777777 };
static const uint64_t MAX_NUMBER = 077777777777; /* of a field of eleven digits: sizes and times */

/* `width` digits. The NUL behind them is there already. */
static void
put_octal (uint8_t *at, int width, uint64_t value)
{
  for (int i = width - 1; i >= 0; i--, value >>= 3)
    at[i] = (uint8_t) ('0' + (value & 7));
}

static bool
is_ascii (text name)
{
  for (size_t i = 0; i < name.length; i++)
    if ((uint8_t) name.at[i] >= 0x80)
      return false;
  return true;
}

/* Adds the ASCII bytes of a text to a field, as far as there is room. Returns how many there are with those in front of them. */
static size_t
put_ascii (uint8_t *field, size_t used, text name)
{
  for (size_t i = 0; i < name.length; i++)
    if ((uint8_t) name.at[i] < 0x80)
      {
        if (used < NAME_FIELD)
          field[used] = (uint8_t) name.at[i];
        used += 1;
      }
  return used;
}

/* Removes the slashes from the end of a truncated field: some readers take it for a directory's. */
static void
cut_slashes (uint8_t *field, size_t length)
{
  while (length > 0 && field[length - 1] == '/')
    field[--length] = '\0';
}

static void
put_name (uint8_t *field, text name)
{
  if (put_ascii (field, 0, name) > NAME_FIELD)
    cut_slashes (field, NAME_FIELD);
}

/* The sum of all bytes with the sum's own field as spaces: six digits, NUL, space. */
static void
put_sum (uint8_t *block)
{
  unsigned sum = 0;
  memset (block + 148, ' ', 8);
  for (int i = 0; i < BLOCK; i++)
    sum += block[i];
  put_octal (block + 148, 6, sum);
  block[154] = '\0';
}

/* A block that all members have: `prefix` is the beginning of a path that is split in two. */
static void
put_block (uint8_t *block, const member *of, text prefix, text name)
{
  put_name (block, name);
  put_octal (block + 100, 7, of->mode);
  put_octal (block + 108, 7, of->uid > MAX_ID ? 0 : of->uid);
  put_octal (block + 116, 7, of->gid > MAX_ID ? 0 : of->gid);
  put_octal (block + 124, 11, of->size > MAX_NUMBER ? 0 : of->size);
  put_octal (block + 136, 11, of->seconds < 0 || (uint64_t) of->seconds > MAX_NUMBER ? 0 : (uint64_t) of->seconds);
  block[156] = (uint8_t) of->flag;
  put_name (block + 157, of->link);
  memcpy (block + 257, "ustar\00000", 8);
  put_octal (block + 329, 7, of->major);
  put_octal (block + 337, 7, of->minor);
  memcpy (block + 345, prefix.at, prefix.length);
  put_sum (block);
}

/* The block in front of the records, named after the member: `usr/bin/PaxHeaders.0/ping`. */
static void
put_extended_block (uint8_t *block, text path, size_t size)
{
  size_t folder = path.length;
  while (folder > 0 && path.at[folder - 1] != '/')
    folder -= 1;
  size_t used = put_ascii (block, 0, (text){ path.at, folder });
  used = put_ascii (block, used, (text){ "PaxHeaders.0", 12 });
  if (folder < path.length)
    {
      used = put_ascii (block, used, (text){ "/", 1 });
      used = put_ascii (block, used, (text){ path.at + folder, path.length - folder });
    }
  cut_slashes (block, used < NAME_FIELD ? used : NAME_FIELD);
  for (int at = 100; at <= 116; at += 8)
    put_octal (block + at, 7, 0);
  put_octal (block + 124, 11, size);
  put_octal (block + 136, 11, 0);
  block[156] = 'x';
  memcpy (block + 257, "ustar\00000", 8);
  put_sum (block);
}

static size_t
digits_of (size_t number)
{
  return (size_t) snprintf (NULL, 0, "%zu", number);
}

/* `LENGTH KEY=VALUE\n`, where LENGTH counts itself. POSIX pax, extended header. */
static bool
put_record (arena *out, const char *begin, text key, text value)
{
  size_t rest = strlen (begin) + key.length + value.length + 3, length = rest + digits_of (rest);
  if (digits_of (length) > digits_of (rest))
    length = rest + digits_of (length);
  char number[24];
  int used = snprintf (number, sizeof number, "%zu ", length);
  return arena_add (out, number, (size_t) used) != NULL && arena_add (out, begin, strlen (begin)) != NULL
         && arena_add (out, key.at, key.length) != NULL && arena_add (out, "=", 1) != NULL
         && arena_add (out, value.at, value.length) != NULL && arena_add (out, "\n", 1) != NULL;
}

static bool
put_number (arena *out, const char *key, long long value)
{
  char digits[24];
  int used = snprintf (digits, sizeof digits, "%lld", value);
  return put_record (out, key, (text){ "", 0 }, (text){ digits, (size_t) used });
}

/* Values that do not fit into a block's fields. */
typedef struct
{
  bool path, link, uid, gid, size, time, attributes;
} excess;

static excess
excess_of (const member *of)
{
  excess found = {
    .path = of->path.length > NAME_FIELD || !is_ascii (of->path),
    .link = of->link.length > NAME_FIELD || !is_ascii (of->link),
    .uid = of->uid > MAX_ID,
    .gid = of->gid > MAX_ID,
    .size = of->size > MAX_NUMBER,
    .time = of->seconds < 0 || (uint64_t) of->seconds > MAX_NUMBER,
  };
  for (size_t i = 0; i < of->attribute_count; i++)
    found.attributes = found.attributes || of->attributes[i].is_kept;
  return found;
}

/* The records in the order of their keys' bytes. */
static bool
put_records (arena *out, const member *of, excess has)
{
  text none = { "", 0 };
  for (size_t i = 0; i < of->attribute_count; i++)
    if (of->attributes[i].is_kept && !put_record (out, "SCHILY.xattr.", of->attributes[i].name, of->attributes[i].value))
      return false;
  return (!has.gid || put_number (out, "gid", of->gid)) && (!has.link || put_record (out, "linkpath", none, of->link))
         && (!has.time || put_number (out, "mtime", of->seconds)) && (!has.path || put_record (out, "path", none, of->path))
         && (!has.size || put_number (out, "size", (long long) of->size)) && (!has.uid || put_number (out, "uid", of->uid));
}

/* Length of the part of a long path that goes into the prefix field, at the place Go's splitUSTARPath chooses; 0 for none. */
static size_t
prefix_of (text path)
{
  if (!is_ascii (path))
    return 0;
  size_t slash = path.length > PREFIX_FIELD + 1             ? PREFIX_FIELD + 1
                 : path.at[path.length - 1] == '/' ? path.length - 1
                                                            : path.length;
  while (slash > 0 && path.at[slash - 1] != '/')
    slash -= 1;
  if (slash <= 1)
    return 0;
  size_t prefix = slash - 1, name = path.length - slash;
  return name == 0 || name > NAME_FIELD || prefix > PREFIX_FIELD ? 0 : prefix;
}

/* Zeros up to the end of a block. */
static bool
fill_block (arena *out, size_t start)
{
  size_t missing = (BLOCK - (out->used - start) % BLOCK) % BLOCK;
  char *at = arena_room (out, missing);
  if (at == NULL)
    return false;
  memset (at, 0, missing);
  out->used += missing;
  return true;
}

static uint8_t *
add_block (arena *out)
{
  char *at = arena_room (out, BLOCK);
  if (at == NULL)
    return NULL;
  memset (at, 0, BLOCK);
  out->used += BLOCK;
  return (uint8_t *) at;
}

bool
put_header (arena *out, const member *of)
{
  excess has = excess_of (of);
  bool has_others = has.link || has.uid || has.gid || has.size || has.time || has.attributes;
  size_t prefix = has.path && !has_others ? prefix_of (of->path) : 0;
  text front = { of->path.at, prefix }, name = of->path;
  if (prefix > 0)
    name = (text){ of->path.at + prefix + 1, of->path.length - prefix - 1 };
  else if (has.path || has_others)
    {
      size_t start = out->used;
      if (add_block (out) == NULL || !put_records (out, of, has))
        return false;
      put_extended_block ((uint8_t *) out->bytes + start, of->path, out->used - start - BLOCK);
      if (!fill_block (out, start))
        return false;
    }
  uint8_t *block = add_block (out);
  if (block != NULL)
    put_block (block, of, front, name);
  return block != NULL;
}
