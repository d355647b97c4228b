/* A layer's tar as digests: one pass over the files of a tree, the bytes going nowhere or into a file. Members that are plain
 * (a file, directory or symlink whose header needs no extension) are encoded here, as header-write.ts would; all others come
 * ready-made from JavaScript in a script, which also decides which are which.
 *
 * A tar that is written into a file may be of a tree that does not exist: its files are those of another directory, at the
 * same paths but for how they begin, and must have the digests that are expected of them. Those that an earlier tar has are
 * not even opened. */
#include "pack.h"

#include <stdio.h>

enum { PLAIN = 1 };

/* One member of the script. Behind it: the header's bytes, then the content digest's text before and behind the digest of
 * the file's bytes. */
typedef struct
{
  uint32_t row, header_bytes, before_bytes, behind_bytes, has_content;
} scripted;

/* `width` digits; the NUL behind them is there already. */
static void
put_octal (uint8_t *at, int width, uint64_t value)
{
  for (int i = width - 1; i >= 0; i--, value >>= 3)
    at[i] = (uint8_t) ('0' + (value & 7));
}

static int64_t
seconds_of (const pack_job *pack, size_t row)
{
  int64_t seconds = pack->mtimes[row] / 1000000000;
  return seconds > pack->latest_seconds ? pack->latest_seconds : seconds;
}

/* A member's time as it counts in the content digest; content-digest.ts has the same. */
static int
put_time (const pack_job *pack, size_t row, char *at, size_t room)
{
  int64_t mtime = pack->mtimes[row];
  if (pack->run_numbers == 0 || pack->runs[0] == 0)
    return snprintf (at, room, "-");
  for (size_t i = 1; i + 1 < pack->run_numbers; i += 2)
    if (mtime >= pack->runs[i] && mtime <= pack->runs[i + 1])
      return snprintf (at, room, "now");
  return snprintf (at, room, "%lld", (long long) mtime);
}

static int
add_plain (pack_job *pack, size_t row)
{
  char path[MAX_PATH], hex[2 * SHA256_BYTES + 1] = "";
  ssize_t length = path_of (pack, (int32_t) row, path);
  uint32_t mode = pack->modes[row];
  bool is_file = S_ISREG (mode), is_link = S_ISLNK (mode);
  size_t link_start = name_start (pack->link_ends, row), link_length = is_link ? pack->link_ends[row] - link_start : 0;
  if (length <= 0 || length > 100 || link_length > 100)
    {
      errno = EINVAL;
      return -1;
    }
  uint64_t size = is_file ? (uint64_t) pack->sizes[row] : 0;
  uint8_t header[BLOCK] = { 0 };
  memcpy (header, path, (size_t) length);
  if (S_ISDIR (mode))
    header[length] = '/'; /* a plain directory's path has at most 99 bytes */
  put_octal (header + 100, 7, mode & 07777);
  put_octal (header + 108, 7, pack->uids[row]);
  put_octal (header + 116, 7, pack->gids[row]);
  put_octal (header + 124, 11, size);
  put_octal (header + 136, 11, (uint64_t) seconds_of (pack, row));
  memset (header + 148, ' ', 8);
  header[156] = is_file ? '0' : is_link ? '2' : '5';
  memcpy (header + 157, pack->links + link_start, link_length);
  memcpy (header + 257, "ustar\00000", 8);
  put_octal (header + 329, 7, 0);
  put_octal (header + 337, 7, 0);
  unsigned sum = 0;
  for (int i = 0; i < BLOCK; i++)
    sum += header[i];
  put_octal (header + 148, 6, sum);
  header[154] = '\0';
  emit (pack, header, BLOCK);
  if (size > 0 && emit_content (pack, row, hex) < 0)
    return -1;
  char text[512];
  int used = snprintf (text, sizeof text, "%s %u %u %u %llu 0 0 ", is_file ? "file" : is_link ? "symlink" : "directory",
                       is_link ? 0777U : mode & 07777U, pack->uids[row], pack->gids[row], (unsigned long long) size);
  used += put_time (pack, row, text + used, sizeof text - (size_t) used);
  used += snprintf (text + used, sizeof text - (size_t) used, " %s", hex);
  char *at = text + used + 1;
  memcpy (at, path, (size_t) length + 1);
  at += length + 1;
  memcpy (at, pack->links + link_start, link_length);
  at += link_length;
  memcpy (at, "\0000", 3); /* the end of the target, and "0" attributes */
  SHA256_Update (&pack->content, text, (size_t) (at + 3 - text));
  pack->members += 1;
  return 0;
}

/* All members that the script has for a row: a directory may bring a mark. */
static int
add_scripted (pack_job *pack, size_t row)
{
  scripted item;
  while (pack->script.length - pack->script_at >= sizeof item)
    {
      memcpy (&item, pack->script.bytes + pack->script_at, sizeof item);
      if (item.row != row)
        return 0;
      const uint8_t *header = pack->script.bytes + pack->script_at + sizeof item;
      const uint8_t *before = header + item.header_bytes, *behind = before + item.before_bytes;
      uint64_t whole = sizeof item + (uint64_t) item.header_bytes + item.before_bytes + item.behind_bytes;
      if (whole > pack->script.length - pack->script_at)
        {
          errno = EINVAL;
          return -1;
        }
      pack->script_at += (size_t) whole;
      char hex[2 * SHA256_BYTES + 1] = "";
      emit (pack, header, item.header_bytes);
      if (item.has_content != 0 && emit_content (pack, row, hex) < 0)
        return -1;
      SHA256_Update (&pack->content, before, item.before_bytes);
      SHA256_Update (&pack->content, hex, strlen (hex));
      SHA256_Update (&pack->content, behind, item.behind_bytes);
      if (item.header_bytes > 0)
        pack->members += 1;
    }
  return 0;
}

static void
pack_run (job *self)
{
  pack_job *pack = (pack_job *) self;
  uint32_t row = 0;
  open_content (pack);
  pack->stream = hash_stream_open (STREAM_BLOCK);
  if (pack->stream == NULL)
    {
      pack->error = ENOMEM;
      close_content (pack);
      return;
    }
  pack->block = hash_stream_block (pack->stream);
  SHA256_Init (&pack->content);
  for (; row < pack->count && pack->error == 0; row++)
    {
      if (__atomic_load_n (pack->is_cancelled, __ATOMIC_RELAXED) != 0)
        pack->error = ECANCELED;
      else if ((pack->kinds[row] == PLAIN ? add_plain (pack, row) : add_scripted (pack, row)) < 0)
        pack->error = errno;
    }
  if (pack->error == 0)
    {
      emit (pack, NULL, 2 * BLOCK);
      emit_block (pack);
    }
  hash_stream_close (pack->stream, pack->out);
  SHA256_Final (pack->out + SHA256_BYTES, &pack->content);
  memcpy (pack->out + 64, &pack->total, 8);
  memcpy (pack->out + 72, &pack->members, 4);
  row -= pack->error == 0 ? 0 : 1;
  memcpy (pack->out + 76, &row, 4);
  close_content (pack);
}

static napi_value
pack_finish (napi_env env, job *self)
{
  return number (env, -((pack_job *) self)->error);
}

static void
pack_destroy (job *self)
{
  free (self);
}

/* { fd, strip, expected, earlierFd or -1, kept, keptAt }; false with an exception pending. */
static bool
output_argument (napi_env env, napi_value value, size_t count, const double *sizes, pack_output *out)
{
  enum { FD, STRIP, EXPECTED, EARLIER_FD, KEPT, KEPT_AT };
  static const char *const properties[] = { [FD] = "fd",
                                            [STRIP] = "strip",
                                            [EXPECTED] = "expected",
                                            [EARLIER_FD] = "earlierFd",
                                            [KEPT] = "kept",
                                            [KEPT_AT] = "keptAt" };
  arguments list = read_properties (env, value, properties, COUNT_OF (properties));
  span expected = bytes_argument (&list, EXPECTED), kept = bytes_argument (&list, KEPT);
  span kept_at = bytes_argument (&list, KEPT_AT);
  const double *at = (const double *) (const void *) kept_at.bytes;
  *out = (pack_output){
    .fd = int_argument (&list, FD),
    .strip = uint_argument (&list, STRIP),
    .expected = expected.bytes,
    .earlier_fd = int_argument (&list, EARLIER_FD),
    .kept = kept,
    .kept_at = at,
  };
  bool fits = expected.length / SHA256_BYTES >= count && kept_at.length / sizeof (double) >= count;
  for (size_t i = 0; fits && i < count; i++)
    fits = at[i] < 0 || (sizes[i] >= 0 && at[i] + sizes[i] <= (double) kept.length);
  if (!fits)
    napi_throw_range_error (env, NULL, "fewer digests or kept bytes than rows");
  return fits;
}

/* The columns of a scan, all of the same length, and that of kinds. False with an exception pending. */
static bool
columns_argument (const arguments *args, size_t columns_index, size_t kinds_index, pack_job *out)
{
  enum { MODE, UID, GID, NAME_END, LINK_END, SIZE, MTIME, PARENT, NAMES, LINKS };
  static const char *const properties[]
      = { [MODE] = "mode", [UID] = "uid",       [GID] = "gid",       [NAME_END] = "nameEnd", [LINK_END] = "linkEnd",
          [SIZE] = "size", [MTIME] = "mtimeNs", [PARENT] = "parent", [NAMES] = "names",      [LINKS] = "links" };
  static const size_t widths[NAMES] = { 4, 4, 4, 4, 4, 8, 8, 4 };
  static const uint8_t nothing[1];
  arguments list = read_properties (args->env, args->values[columns_index], properties, COUNT_OF (properties));
  span columns[COUNT_OF (properties)], kinds = bytes_argument (args, kinds_index);
  for (size_t i = 0; i < COUNT_OF (properties); i++)
    columns[i] = bytes_argument (&list, i);
  size_t count = kinds.length;
  out->count = count;
  out->modes = (const uint32_t *) (const void *) columns[MODE].bytes;
  out->uids = (const uint32_t *) (const void *) columns[UID].bytes;
  out->gids = (const uint32_t *) (const void *) columns[GID].bytes;
  out->name_ends = (const uint32_t *) (const void *) columns[NAME_END].bytes;
  out->link_ends = (const uint32_t *) (const void *) columns[LINK_END].bytes;
  out->sizes = (const double *) (const void *) columns[SIZE].bytes;
  out->mtimes = (const int64_t *) (const void *) columns[MTIME].bytes;
  out->parents = (const int32_t *) (const void *) columns[PARENT].bytes;
  out->names = columns[NAMES].bytes == NULL ? nothing : columns[NAMES].bytes;
  out->links = columns[LINKS].bytes == NULL ? nothing : columns[LINKS].bytes;
  out->kinds = kinds.bytes;
  bool is_whole = true;
  for (size_t i = 0; i < NAMES; i++)
    is_whole = is_whole && columns[i].length / widths[i] == count;
  for (size_t i = 0; is_whole && i < count; i++)
    is_whole = name_start (out->name_ends, i) <= out->name_ends[i] && name_start (out->link_ends, i) <= out->link_ends[i];
  if (!is_whole
      || (count > 0
          && (out->name_ends[count - 1] > columns[NAMES].length || out->link_ends[count - 1] > columns[LINKS].length)))
    {
      napi_throw_range_error (args->env, NULL, "columns of different lengths");
      return false;
    }
  for (size_t i = 1; i < count; i++)
    if (out->parents[i] < 0 || (size_t) out->parents[i] >= i)
      {
        napi_throw_range_error (args->env, NULL, "a directory behind what it holds");
        return false;
      }
  return true;
}

/* packTree({ dirfd, columns, kinds, script, latestSeconds, runs, isCancelled, sums, isAsync, output }); the last may be absent */
static napi_value
js_pack_tree (napi_env env, napi_callback_info info)
{
  enum { DIRFD, COLUMNS, KINDS, SCRIPT, LATEST_SECONDS, RUNS, IS_CANCELLED, SUMS, IS_ASYNC, OUTPUT };
  static const char *const properties[]
      = { [DIRFD] = "dirfd", [COLUMNS] = "columns",   [KINDS] = "kinds", [SCRIPT] = "script",   [LATEST_SECONDS] = "latestSeconds",
          [RUNS] = "runs",   [IS_CANCELLED] = "isCancelled", [SUMS] = "sums",   [IS_ASYNC] = "isAsync", [OUTPUT] = "output" };
  arguments args = read_descriptor (env, info, properties, COUNT_OF (properties));
  pack_job *pack = calloc (1, sizeof *pack);
  if (pack == NULL)
    return number (env, -ENOMEM);
  span runs = bytes_argument (&args, RUNS), cancelled = bytes_argument (&args, IS_CANCELLED);
  span sums = bytes_argument (&args, SUMS);
  *pack = (pack_job){
    .base = { .run = pack_run, .finish = pack_finish, .destroy = pack_destroy },
    .dirfd = int_argument (&args, DIRFD),
    .script = bytes_argument (&args, SCRIPT),
    .latest_seconds = int64_argument (&args, LATEST_SECONDS),
    .runs = (const int64_t *) (const void *) runs.bytes,
    .run_numbers = runs.length / sizeof (int64_t),
    .is_cancelled = (const int32_t *) (const void *) cancelled.bytes,
    .out = sums.bytes,
    .output = { .fd = -1, .earlier_fd = -1 },
  };
  if (sums.length < 80 || cancelled.length < 4)
    {
      free (pack);
      napi_throw_range_error (env, NULL, "no room for the sums");
      return NULL;
    }
  if (!columns_argument (&args, COLUMNS, KINDS, pack)
      || (has_argument (&args, OUTPUT)
          && !output_argument (env, args.values[OUTPUT], pack->count, pack->sizes, &pack->output)))
    {
      free (pack);
      return NULL;
    }
  job_hold (&pack->base, &args);
  return job_start (env, &pack->base, bool_argument (&args, IS_ASYNC));
}

const exported pack_functions[] = { { "packTree", js_pack_tree }, { NULL, NULL } };
