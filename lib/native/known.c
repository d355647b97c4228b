/* The index of a context's files, and the listing of their digests. For each
 * file a few numbers are compared or written; JavaScript on its first run
 * takes a hundred times as long. */
#include "addon.h"
#include "rows.h"
#include "sha256.h"

#include <stdio.h>

enum { STAMP_BYTES = 40, UNKNOWN = -1 };

/* A hash table with open addressing over the remembered paths: `slots` holds
 * rows, 1 for the first. */
typedef struct
{
  const uint8_t *stamps, *digests;
  const uint32_t *ends;
  const char *paths;
  uint8_t *used;
  size_t count, mask;
  uint32_t *slots;
} memory;

static size_t
hash_of (const char *bytes, size_t length)
{
  uint64_t hash = 0xcbf29ce484222325U;
  for (size_t i = 0; i < length; i++)
    hash = (hash ^ (uint8_t) bytes[i]) * 0x100000001b3U;
  return (size_t) (hash ^ (hash >> 32));
}

static size_t
start_of (const memory *known, size_t row)
{
  return row == 0 ? 0 : known->ends[row - 1];
}

/* Finds the slot of a path. */
static size_t
slot_of (const memory *known, const char *path, size_t length)
{
  size_t at = hash_of (path, length) & known->mask;
  for (; known->slots[at] != 0; at = (at + 1) & known->mask)
    {
      size_t row = known->slots[at] - 1, start = start_of (known, row);
      if (known->ends[row] - start == length && memcmp (known->paths + start, path, length) == 0)
        break;
    }
  return at;
}

/* Reads the stat index and fills the slots. False with an exception pending. */
static bool
memory_argument (napi_env env, napi_value value, memory *out)
{
  enum { STAMPS, DIGESTS, PATH_ENDS, PATHS, USED };
  static const char *const properties[] = { [STAMPS] = "stamps",
                                            [DIGESTS] = "digests",
                                            [PATH_ENDS] = "pathEnds",
                                            [PATHS] = "paths",
                                            [USED] = "used" };
  arguments list = read_properties (env, value, properties, COUNT_OF (properties));
  span parts[COUNT_OF (properties)];
  for (size_t i = 0; i < COUNT_OF (parts); i++)
    parts[i] = bytes_argument (&list, i);
  size_t count = parts[PATH_ENDS].length / 4, room = 16;
  *out = (memory){
    .stamps = parts[STAMPS].bytes,
    .digests = parts[DIGESTS].bytes,
    .ends = (const uint32_t *) (const void *) parts[PATH_ENDS].bytes,
    .paths = parts[PATHS].bytes == NULL ? "" : (const char *) parts[PATHS].bytes,
    .used = parts[USED].bytes,
    .count = count,
  };
  bool is_whole = parts[STAMPS].length / STAMP_BYTES >= count && parts[DIGESTS].length / SHA256_BYTES >= count
                  && parts[USED].length >= count && count < UINT32_MAX / 4;
  for (size_t i = 0; is_whole && i < count; i++)
    is_whole = start_of (out, i) <= out->ends[i] && out->ends[i] <= parts[PATHS].length;
  if (!is_whole)
    {
      napi_throw_range_error (env, NULL, "an index that does not fit together");
      return false;
    }
  while (room < 2 * count)
    room *= 2;
  out->mask = room - 1;
  out->slots = calloc (room, sizeof *out->slots);
  if (out->slots == NULL)
    {
      napi_throw_error (env, NULL, "out of memory");
      return false;
    }
  for (size_t row = 0; row < count; row++)
    {
      size_t start = start_of (out, row);
      out->slots[slot_of (out, out->paths + start, out->ends[row] - start)] = (uint32_t) row + 1;
    }
  return true;
}

/* findKnown({ known, columns, base, rows, digests, results }): for each row
 * the number of its entry, with its digest; or -1 for an unknown path, or
 * minus the number minus 2 where it is known with another stamp. */
static napi_value
js_find_known (napi_env env, napi_callback_info info)
{
  enum { KNOWN, COLUMNS, BASE, ROWS, DIGESTS, RESULTS };
  static const char *const properties[]
      = { [KNOWN] = "known", [COLUMNS] = "columns", [BASE] = "base", [ROWS] = "rows", [DIGESTS] = "digests", [RESULTS] = "results" };
  static const char *const stamps[] = { "dev", "ino", "size", "mtimeNs", "ctimeNs" };
  arguments args = read_descriptor (env, info, properties, COUNT_OF (properties));
  span columns[COUNT_OF (stamps)];
  row_tree rows;
  size_t count = 0;
  if (!row_tree_argument (env, args.values[COLUMNS], &rows))
    return NULL;
  const int32_t *wanted = row_list_argument (&args, ROWS, &rows, &count);
  if (wanted == NULL)
    return NULL;
  span base = bytes_argument (&args, BASE), digests = bytes_argument (&args, DIGESTS);
  span results = bytes_argument (&args, RESULTS);
  bool fits = digests.length / SHA256_BYTES >= count && results.length / 4 >= count && base.length < MAX_PATH;
  arguments list = read_properties (env, args.values[COLUMNS], stamps, COUNT_OF (stamps));
  for (size_t i = 0; i < COUNT_OF (stamps); i++)
    {
      columns[i] = bytes_argument (&list, i);
      fits = fits && columns[i].length / 8 >= rows.count;
    }
  if (!fits)
    {
      napi_throw_range_error (env, NULL, "columns of different lengths");
      return NULL;
    }
  memory known;
  if (!memory_argument (env, args.values[KNOWN], &known))
    return NULL;
  char path[2 * MAX_PATH];
  size_t prefix = base.bytes == NULL ? 0 : base.length;
  if (prefix > 0)
    {
      memcpy (path, base.bytes, prefix);
      path[prefix++] = '/';
    }
  int32_t *out = (int32_t *) (void *) results.bytes;
  for (size_t i = 0; i < count; i++)
    {
      size_t row = (size_t) wanted[i];
      ssize_t length = path_below (&rows, wanted[i], 0, path + prefix);
      uint32_t entry = length < 0 ? 0 : known.slots[slot_of (&known, path, prefix + (size_t) length)];
      uint8_t stamp[STAMP_BYTES];
      for (size_t c = 0; c < 5; c++)
        memcpy (stamp + 8 * c, columns[c].bytes + 8 * row, 8);
      out[i] = UNKNOWN;
      if (entry == 0)
        continue;
      size_t at = entry - 1;
      if (memcmp (stamp, known.stamps + STAMP_BYTES * at, STAMP_BYTES) != 0)
        {
          out[i] = -(int32_t) at - 2;
          continue;
        }
      out[i] = (int32_t) at;
      known.used[at] = 1;
      memcpy (digests.bytes + SHA256_BYTES * i, known.digests + SHA256_BYTES * at, SHA256_BYTES);
    }
  free (known.slots);
  return number (env, 0);
}

/* Text that grows, and a flag for text that a listing can hold unescaped. */
typedef struct
{
  char *bytes;
  size_t used, room;
  bool is_plain, has_memory;
} text;

static void
put (text *to, const char *bytes, size_t length)
{
  if (length == 0)
    return;
  if (to->bytes == NULL || to->room - to->used < length)
    {
      size_t room = 2 * to->room + length + 4096;
      char *grown = realloc (to->bytes, room);
      if (grown == NULL)
        {
          to->has_memory = false;
          return;
        }
      to->bytes = grown;
      to->room = room;
    }
  memcpy (to->bytes + to->used, bytes, length);
  to->used += length;
}

/* Adds text. Only printable ASCII without a backslash needs no escape and no
 * look at its characters. */
static void
put_name (text *to, const char *bytes, size_t length)
{
  for (size_t i = 0; i < length; i++)
    if ((uint8_t) bytes[i] < 0x20 || (uint8_t) bytes[i] >= 0x7f || bytes[i] == '\\')
      to->is_plain = false;
  put (to, bytes, length);
}

static void
put_digest (text *to, const uint8_t *digest)
{
  static const char digits[] = "0123456789abcdef";
  char hex[7 + 2 * SHA256_BYTES] = "sha256:";
  for (int i = 0; i < SHA256_BYTES; i++)
    {
      hex[7 + 2 * i] = digits[digest[i] >> 4];
      hex[8 + 2 * i] = digits[digest[i] & 15];
    }
  put (to, hex, sizeof hex);
}

/* listRows({ columns, top, rows, digests, asRoot }): a line for each row, in
 * the form of listing.ts, with paths below the row `top`, and the next
 * digest for each regular file. `undefined` for a row with attributes, a
 * device, or a name that has to be escaped. */
static napi_value
js_list_rows (napi_env env, napi_callback_info info)
{
  enum { COLUMNS, TOP, ROWS, DIGESTS, AS_ROOT };
  static const char *const properties[]
      = { [COLUMNS] = "columns", [TOP] = "top", [ROWS] = "rows", [DIGESTS] = "digests", [AS_ROOT] = "asRoot" };
  enum { MODE, UID, GID, SIZE, LINK_END, FLAGS, LINKS };
  static const char *const scan[] = { [MODE] = "mode",        [UID] = "uid",     [GID] = "gid",    [SIZE] = "size",
                                      [LINK_END] = "linkEnd", [FLAGS] = "flags", [LINKS] = "links" };
  static const size_t widths[] = { 4, 4, 4, 8, 4, 1 };
  arguments args = read_descriptor (env, info, properties, COUNT_OF (properties));
  span columns[COUNT_OF (scan)];
  row_tree rows;
  size_t count = 0, regular = 0;
  napi_value result;
  napi_get_undefined (env, &result);
  if (!row_tree_argument (env, args.values[COLUMNS], &rows))
    return NULL;
  const int32_t *wanted = row_list_argument (&args, ROWS, &rows, &count);
  if (wanted == NULL)
    return NULL;
  int32_t top = int_argument (&args, TOP);
  bool as_root = bool_argument (&args, AS_ROOT), fits = true;
  arguments list = read_properties (env, args.values[COLUMNS], scan, COUNT_OF (scan));
  for (size_t i = 0; i < COUNT_OF (scan); i++)
    {
      columns[i] = bytes_argument (&list, i);
      fits = fits && (i >= COUNT_OF (widths) || columns[i].length / widths[i] >= rows.count);
    }
  span links = columns[LINKS], digests = bytes_argument (&args, DIGESTS);
  const uint32_t *modes = (const uint32_t *) (const void *) columns[MODE].bytes;
  const uint32_t *uids = (const uint32_t *) (const void *) columns[UID].bytes;
  const uint32_t *gids = (const uint32_t *) (const void *) columns[GID].bytes;
  const double *sizes = (const double *) (const void *) columns[SIZE].bytes;
  const uint32_t *link_ends = (const uint32_t *) (const void *) columns[LINK_END].bytes;
  const uint8_t *flags = columns[FLAGS].bytes;
  text lines = { .is_plain = true, .has_memory = true };
  for (size_t i = 0; fits && i < count && lines.is_plain && lines.has_memory; i++)
    {
      size_t row = (size_t) wanted[i];
      uint32_t mode = modes[row], start = row == 0 ? 0 : link_ends[row - 1];
      char path[MAX_PATH], fields[128];
      ssize_t length = path_below (&rows, wanted[i], top, path);
      bool is_file = S_ISREG (mode), is_link = S_ISLNK (mode);
      fits = (!is_file || digests.length / SHA256_BYTES > regular) && link_ends[row] <= links.length && start <= link_ends[row];
      if (!fits)
        break;
      if (length < 0 || flags[row] != 0 || !(is_file || is_link || S_ISDIR (mode)))
        {
          lines.is_plain = false;
          break;
        }
      put_name (&lines, path, (size_t) length);
      int used = snprintf (fields, sizeof fields, "\t%c\t%04o\t%u\t%u\t%.0f\t", is_file ? 'f' : is_link ? 'l' : 'd',
                           is_link ? 0777U : mode & 07777U, as_root ? 0 : uids[row], as_root ? 0 : gids[row],
                           is_file ? sizes[row] : 0);
      put (&lines, fields, (size_t) used);
      if (is_file)
        put_digest (&lines, digests.bytes + SHA256_BYTES * regular++);
      else if (is_link)
        put_name (&lines, (const char *) links.bytes + start, link_ends[row] - start);
      else
        put (&lines, "-", 1);
      put (&lines, "\n", 1);
    }
  if (!fits)
    napi_throw_range_error (env, NULL, "columns of different lengths");
  else if (!lines.has_memory)
    napi_throw_error (env, NULL, "out of memory");
  else if (lines.is_plain)
    napi_create_string_latin1 (env, lines.bytes == NULL ? "" : lines.bytes, lines.used, &result);
  free (lines.bytes);
  return result;
}

const exported known_functions[] = { { "findKnown", js_find_known }, { "listRows", js_list_rows }, { NULL, NULL } };
