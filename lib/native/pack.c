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

/* [fd, strip, expected, earlier fd or -1, kept, kept at]; false with an exception pending. */
static bool
output_argument (napi_env env, napi_value value, size_t count, const double *sizes, pack_output *out)
{
  arguments list = { .env = env, .count = 6 };
  for (uint32_t i = 0; i < 6; i++)
    napi_get_element (env, value, i, &list.values[i]);
  span expected = bytes_argument (&list, 2), kept = bytes_argument (&list, 4), kept_at = bytes_argument (&list, 5);
  const double *at = (const double *) (const void *) kept_at.bytes;
  *out = (pack_output){
    .fd = int_argument (&list, 0),
    .strip = uint_argument (&list, 1),
    .expected = expected.bytes,
    .earlier_fd = int_argument (&list, 3),
    .kept = kept,
    .kept_at = at,
    .held = { list.values[2], list.values[4], list.values[5] },
  };
  bool fits = expected.length / SHA256_BYTES >= count && kept_at.length / sizeof (double) >= count;
  for (size_t i = 0; fits && i < count; i++)
    fits = at[i] < 0 || (sizes[i] >= 0 && at[i] + sizes[i] <= (double) kept.length);
  if (!fits)
    napi_throw_range_error (env, NULL, "fewer digests or kept bytes than rows");
  return fits;
}

/* packTree(dirfd, [modes, uids, gids, nameEnds, linkEnds, sizes, mtimes, parents, kinds], names, links, script,
 *          latestSeconds, runs, isCancelled, out, is_async, [fd, strip, expected, earlier fd, kept, kept at]); the last may be left out */
static napi_value
js_pack_tree (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  arguments list = { .env = env, .count = 9 };
  span columns[9];
  static const size_t widths[9] = { 4, 4, 4, 4, 4, 8, 8, 4, 1 };
  pack_job *pack = calloc (1, sizeof *pack);
  if (pack == NULL)
    return number (env, -ENOMEM);
  bool is_whole = true;
  for (uint32_t i = 0; i < 9; i++)
    {
      napi_get_element (env, args.values[1], i, &list.values[i]);
      columns[i] = bytes_argument (&list, i);
      is_whole = is_whole && columns[i].length / widths[i] == columns[0].length / widths[0];
    }
  span names = bytes_argument (&args, 2), links = bytes_argument (&args, 3), out = bytes_argument (&args, 8);
  span cancelled = bytes_argument (&args, 7), runs = bytes_argument (&args, 6);
  size_t count = columns[0].length / 4;
  const uint32_t *name_ends = (const uint32_t *) (const void *) columns[3].bytes;
  const uint32_t *link_ends = (const uint32_t *) (const void *) columns[4].bytes;
  for (size_t i = 0; is_whole && i < count; i++)
    is_whole = name_start (name_ends, i) <= name_ends[i] && name_start (link_ends, i) <= link_ends[i];
  if (!is_whole || out.length < 80 || cancelled.length < 4
      || (count > 0 && (name_ends[count - 1] > names.length || link_ends[count - 1] > links.length)))
    {
      free (pack);
      napi_throw_range_error (env, NULL, "columns of different lengths");
      return NULL;
    }
  const int32_t *parents = (const int32_t *) (const void *) columns[7].bytes;
  for (size_t i = 1; i < count; i++)
    if (parents[i] < 0 || (size_t) parents[i] >= i)
      {
        free (pack);
        napi_throw_range_error (env, NULL, "a directory behind what it holds");
        return NULL;
      }
  pack_output output = { .fd = -1, .earlier_fd = -1 };
  if (args.count > 10 && !output_argument (env, args.values[10], count, (const double *) (const void *) columns[5].bytes, &output))
    {
      free (pack);
      return NULL;
    }
  static const uint8_t nothing[1];
  *pack = (pack_job){
    .base = { .run = pack_run, .finish = pack_finish, .destroy = pack_destroy },
    .dirfd = int_argument (&args, 0),
    .count = count,
    .modes = (const uint32_t *) (const void *) columns[0].bytes,
    .uids = (const uint32_t *) (const void *) columns[1].bytes,
    .gids = (const uint32_t *) (const void *) columns[2].bytes,
    .name_ends = name_ends,
    .link_ends = link_ends,
    .sizes = (const double *) (const void *) columns[5].bytes,
    .mtimes = (const int64_t *) (const void *) columns[6].bytes,
    .parents = parents,
    .kinds = columns[8].bytes,
    .names = names.bytes == NULL ? nothing : names.bytes,
    .links = links.bytes == NULL ? nothing : links.bytes,
    .script = bytes_argument (&args, 4),
    .latest_seconds = int64_argument (&args, 5),
    .runs = (const int64_t *) (const void *) runs.bytes,
    .run_numbers = runs.length / sizeof (int64_t),
    .is_cancelled = (const int32_t *) (const void *) cancelled.bytes,
    .out = out.bytes,
    .output = output,
  };
  for (size_t i = 0; output.fd >= 0 && i < sizeof output.held / sizeof output.held[0]; i++)
    job_hold (env, &pack->base, output.held[i]);
  static const size_t held[] = { 1, 2, 3, 4, 6, 7, 8 };
  for (size_t i = 0; i < sizeof held / sizeof held[0]; i++)
    job_hold (env, &pack->base, args.values[held[i]]);
  return job_start (env, &pack->base, bool_argument (&args, 9));
}

const exported pack_functions[] = { { "packTree", js_pack_tree }, { NULL, NULL } };
