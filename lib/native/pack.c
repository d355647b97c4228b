/* A layer's tar out of a scanned directory, and its digests: one pass over the files, the bytes going nowhere, into a file or
 * into a pipe. This is the only place where layers are encoded.
 *
 * The rows may be of a tree that does not exist: its files are those of another directory, at the same paths but for how they
 * begin, and must have the digests that are expected of them. Those that an earlier tar has are not even opened. */
#include "pack.h"

static void
pack_rows_of (pack_job *pack)
{
  uint32_t row = 0;
  for (; row < pack->rows.count && pack->error == 0; row++)
    {
      if (__atomic_load_n (pack->is_cancelled, __ATOMIC_RELAXED) != 0)
        pack->error = ECANCELED;
      else if (emit_row (pack, row) < 0)
        pack->error = errno;
    }
  if (pack->error == 0)
    {
      emit (pack, NULL, 2 * BLOCK); /* Go's writer adds no more, so neither do we */
      emit_block (pack);
    }
  row -= row == 0 || pack->error == 0 ? 0 : 1;
  memcpy (pack->out + 76, &row, 4);
}

static void
pack_run (job *self)
{
  pack_job *pack = (pack_job *) self;
  open_content (pack);
  pack->stream = hash_stream_open (STREAM_BLOCK);
  if (pack->stream == NULL)
    pack->error = ENOMEM;
  else
    {
      pack->block = hash_stream_block (pack->stream);
      begin_content (&pack->content);
      pack_rows_of (pack);
      hash_stream_close (pack->stream, pack->out);
      SHA256_Final (pack->out + SHA256_BYTES, &pack->content);
    }
  uint32_t is_output_error = pack->is_output_error ? 1 : 0;
  memcpy (pack->out + 64, &pack->total, 8);
  memcpy (pack->out + 72, &pack->members, 4);
  memcpy (pack->out + 80, &is_output_error, 4);
  forget_members (pack);
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

static bool
refuse (napi_env env, const char *why)
{
  napi_throw_range_error (env, NULL, why);
  return false;
}

/* Checks that names and targets lie within their bytes, and every directory
 * comes before its content. */
static bool
rows_fit (napi_env env, const pack_rows *rows, size_t names, size_t links)
{
  for (size_t i = 0; i < rows->count; i++)
    if (name_start (rows->name_ends, i) > rows->name_ends[i] || name_start (rows->link_ends, i) > rows->link_ends[i])
      return refuse (env, "columns that do not fit together");
  if (rows->count > 0 && (rows->name_ends[rows->count - 1] > names || rows->link_ends[rows->count - 1] > links))
    return refuse (env, "columns that do not fit together");
  for (size_t i = 1; i < rows->count; i++)
    if (rows->parents[i] < 0 || (size_t) rows->parents[i] >= i)
      return refuse (env, "a directory behind what it holds");
  return true;
}

/* The columns of a scan, all of the same length; false with an exception pending. */
static bool
rows_argument (napi_env env, napi_value value, pack_rows *rows)
{
  enum { MODE, UID, GID, NLINK, MAJOR, MINOR, NAME_END, LINK_END, SIZE, DEV, INO, MTIME, PARENT, FLAGS, NAMES, LINKS };
  static const char *const properties[] = { [MODE] = "mode",         [UID] = "uid",           [GID] = "gid",
                                            [NLINK] = "nlink",       [MAJOR] = "rdevMajor",   [MINOR] = "rdevMinor",
                                            [NAME_END] = "nameEnd",  [LINK_END] = "linkEnd",  [SIZE] = "size",
                                            [DEV] = "dev",           [INO] = "ino",           [MTIME] = "mtimeNs",
                                            [PARENT] = "parent",     [FLAGS] = "flags",       [NAMES] = "names",
                                            [LINKS] = "links" };
  static const size_t widths[NAMES] = { 4, 4, 4, 4, 4, 4, 4, 4, 8, 8, 8, 8, 4, 1 };
  static const uint8_t nothing[1];
  arguments list = read_properties (env, value, properties, COUNT_OF (properties));
  span columns[COUNT_OF (properties)];
  for (size_t i = 0; i < COUNT_OF (properties); i++)
    columns[i] = bytes_argument (&list, i);
  *rows = (pack_rows){
    .count = columns[MODE].length / widths[MODE],
    .modes = (const void *) columns[MODE].bytes,
    .uids = (const void *) columns[UID].bytes,
    .gids = (const void *) columns[GID].bytes,
    .nlinks = (const void *) columns[NLINK].bytes,
    .majors = (const void *) columns[MAJOR].bytes,
    .minors = (const void *) columns[MINOR].bytes,
    .name_ends = (const void *) columns[NAME_END].bytes,
    .link_ends = (const void *) columns[LINK_END].bytes,
    .sizes = (const void *) columns[SIZE].bytes,
    .devices = (const void *) columns[DEV].bytes,
    .inodes = (const void *) columns[INO].bytes,
    .mtimes = (const void *) columns[MTIME].bytes,
    .parents = (const void *) columns[PARENT].bytes,
    .flags = columns[FLAGS].bytes,
    .names = columns[NAMES].bytes == NULL ? nothing : columns[NAMES].bytes,
    .links = columns[LINKS].bytes == NULL ? nothing : columns[LINKS].bytes,
  };
  for (size_t i = 0; i < NAMES; i++)
    if (columns[i].length / widths[i] != rows->count)
      return refuse (env, "columns of different lengths");
  return rows_fit (env, rows, columns[NAMES].length, columns[LINKS].length);
}

/* Reads the expected digests of the files, and their other sources; false
 * with an exception pending. */
static bool
files_argument (napi_env env, napi_value value, const pack_rows *rows, pack_output *out)
{
  enum { STRIP, EXPECTED, EARLIER_FD, KEPT, KEPT_AT };
  static const char *const properties[] = { [STRIP] = "strip",
                                            [EXPECTED] = "expected",
                                            [EARLIER_FD] = "earlierFd",
                                            [KEPT] = "kept",
                                            [KEPT_AT] = "keptAt" };
  arguments list = read_properties (env, value, properties, COUNT_OF (properties));
  span expected = bytes_argument (&list, EXPECTED), kept_at = bytes_argument (&list, KEPT_AT);
  out->kept = bytes_argument (&list, KEPT);
  out->strip = uint_argument (&list, STRIP);
  out->earlier_fd = int_argument (&list, EARLIER_FD);
  out->expected = expected.bytes;
  out->kept_at = (const void *) kept_at.bytes;
  bool fits = expected.length / SHA256_BYTES >= rows->count && kept_at.length / sizeof (double) >= rows->count;
  for (size_t i = 0; fits && i < rows->count; i++)
    fits = out->kept_at[i] < 0 || (rows->sizes[i] >= 0 && out->kept_at[i] + rows->sizes[i] <= (double) out->kept.length);
  return fits || refuse (env, "fewer digests or kept bytes than rows");
}

/* packTree({ dirfd, columns, areMarksTrusted, ... }); raw.ts has them all. `output` and `files` may be absent. */
static napi_value
js_pack_tree (napi_env env, napi_callback_info info)
{
  enum { DIRFD, COLUMNS, TRUSTED, USER, CONTENT, LATEST_SECONDS, RUNS, IS_CANCELLED, SUMS, PLACE, OUTPUT_FD, FILES };
  static const char *const properties[]
      = { [DIRFD] = "dirfd",          [COLUMNS] = "columns",  [TRUSTED] = "areMarksTrusted",      [USER] = "keepsUserAttributes",
          [CONTENT] = "countsContent", [RUNS] = "runs",        [LATEST_SECONDS] = "latestSeconds", [IS_CANCELLED] = "isCancelled",
          [SUMS] = "sums",             [PLACE] = "place",      [OUTPUT_FD] = "outputFd",           [FILES] = "files" };
  arguments args = read_descriptor (env, info, properties, COUNT_OF (properties));
  pack_job *pack = calloc (1, sizeof *pack);
  if (pack == NULL)
    return number (env, -ENOMEM);
  span runs = bytes_argument (&args, RUNS), cancelled = bytes_argument (&args, IS_CANCELLED);
  span sums = bytes_argument (&args, SUMS);
  *pack = (pack_job){
    .base = { .run = pack_run, .finish = pack_finish, .destroy = pack_destroy },
    .dirfd = int_argument (&args, DIRFD),
    .marks = bool_argument (&args, TRUSTED) ? "trusted.overlay." : "user.overlay.",
    .keeps_user_attributes = bool_argument (&args, USER),
    .counts_content = bool_argument (&args, CONTENT),
    .latest_seconds = int64_argument (&args, LATEST_SECONDS),
    .runs = (const int64_t *) (const void *) runs.bytes,
    .run_numbers = runs.length / sizeof (int64_t),
    .is_cancelled = (const int32_t *) (const void *) cancelled.bytes,
    .out = sums.bytes,
    .output = { .fd = int_argument (&args, OUTPUT_FD), .earlier_fd = -1 },
  };
  bool is_whole = sums.length >= 84 && cancelled.length >= 4 ? true : refuse (env, "no room for the sums");
  if (!is_whole || !rows_argument (env, args.values[COLUMNS], &pack->rows)
      || (has_argument (&args, FILES) && !files_argument (env, args.values[FILES], &pack->rows, &pack->output)))
    {
      free (pack);
      return NULL;
    }
  job_hold (&pack->base, &args);
  return job_start (env, &pack->base, (job_place) uint_argument (&args, PLACE));
}

const exported pack_functions[] = { { "packTree", js_pack_tree }, { NULL, NULL } };
