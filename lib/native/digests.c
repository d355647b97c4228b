/* Digests many small files in one call, and keeps their bytes for a caller
 * that needs them soon. Each file has its own result, so one failure does
 * not hide the others. */
#include "rows.h"
#include "sha256.h"

#include <linux/openat2.h>

typedef struct
{
  job base;
  int dirfd;
  row_tree tree;
  const int32_t *rows;
  size_t count;
  uint8_t *digests; /* 32 bytes per file */
  double *results;  /* one per file: its length, or -errno */
  const double *sizes, *offsets; /* sizes of the file and offset in `kept`, one per row of the tree; offset -1: not to be kept */
  span kept;
  /* The last directory. */
  int folder;
  int32_t folder_row;
} digest_job;

/* Opens a directory once for all its files, because they come one after the
 * other. */
static int
folder_of (digest_job *job, int32_t row)
{
  int32_t parent = job->tree.parents[row];
  if (parent <= 0)
    return job->dirfd;
  if (parent == job->folder_row && job->folder >= 0)
    return job->folder;
  char path[MAX_PATH + 1];
  ssize_t length = path_below (&job->tree, parent, 0, path);
  if (length < 0 || length >= MAX_PATH)
    {
      errno = ENAMETOOLONG;
      return -1;
    }
  path[length] = '\0';
  if (job->folder >= 0)
    close (job->folder);
  job->folder_row = parent;
  job->folder = open_beneath (job->dirfd, path, O_PATH | O_DIRECTORY, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  return job->folder;
}

/* Reading must not change the access time; O_NOATIME is for the file's owner
 * and the privileged only. */
static int
open_row (digest_job *job, int32_t row)
{
  char name[MAX_PATH];
  size_t start = row == 0 ? 0 : job->tree.name_ends[row - 1], length = job->tree.name_ends[row] - start;
  int folder = folder_of (job, row);
  if (folder < 0)
    return -1;
  if (length >= sizeof name)
    {
      errno = ENAMETOOLONG;
      return -1;
    }
  memcpy (name, job->tree.names + start, length);
  name[length] = '\0';
  int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  int opened = openat (folder, name, flags | O_NOATIME);
  return opened < 0 && errno == EPERM ? openat (folder, name, flags) : opened;
}

/* Keeps a part of a file, if it is to be kept and has not grown beyond its
 * room. */
static void
keep (const digest_job *job, int32_t row, double at, const uint8_t *bytes, size_t length)
{
  if (job->offsets[row] >= 0 && at + (double) length <= job->sizes[row])
    memcpy (job->kept.bytes + (size_t) (job->offsets[row] + at), bytes, length);
}

static double
digest_file (digest_job *job, int32_t row, uint8_t *digest)
{
  static __thread uint8_t block[1 << 16];
  cleanup_fd int fd = open_row (job, row);
  if (fd < 0)
    return -errno;
  sha256_state state;
  double length = 0;
  SHA256_Init (&state);
  for (;;)
    {
      ssize_t got = read (fd, block, sizeof block);
      if (got < 0 && errno == EINTR)
        continue;
      if (got < 0)
        return -errno;
      SHA256_Update (&state, block, (size_t) got);
      keep (job, row, length, block, (size_t) got);
      length += (double) got;
      /* A short read of a regular file is its end. */
      if ((size_t) got < sizeof block)
        break;
    }
  SHA256_Final (digest, &state);
  return length;
}

static void
digest_run (job *self)
{
  digest_job *job = (digest_job *) self;
  for (size_t i = 0; i < job->count; i++)
    job->results[i] = digest_file (job, job->rows[i], job->digests + i * SHA256_BYTES);
  if (job->folder >= 0)
    close (job->folder);
}

static napi_value
digest_finish (napi_env env, job *self)
{
  (void) self;
  return number (env, 0);
}

static void
digest_destroy (job *self)
{
  free (self);
}

/* digestRows({ dirfd, columns, rows, digests, results, kept, keptAt }): always on a thread */
static napi_value
js_digest_rows (napi_env env, napi_callback_info info)
{
  enum { DIRFD, COLUMNS, ROWS, DIGESTS, RESULTS, KEPT, KEPT_AT };
  static const char *const properties[]
      = { [DIRFD] = "dirfd",     [COLUMNS] = "columns", [ROWS] = "rows",      [DIGESTS] = "digests",
          [RESULTS] = "results", [KEPT] = "kept",       [KEPT_AT] = "keptAt" };
  static const char *const columns[] = { "size" };
  arguments args = read_descriptor (env, info, properties, COUNT_OF (properties));
  row_tree tree;
  size_t count = 0;
  if (!row_tree_argument (env, args.values[COLUMNS], &tree))
    return NULL;
  const int32_t *rows = row_list_argument (&args, ROWS, &tree, &count);
  if (rows == NULL)
    return NULL;
  arguments scan = read_properties (env, args.values[COLUMNS], columns, COUNT_OF (columns));
  span sizes = bytes_argument (&scan, 0), digests = bytes_argument (&args, DIGESTS);
  span results = bytes_argument (&args, RESULTS);
  span kept = bytes_argument (&args, KEPT), offsets = bytes_argument (&args, KEPT_AT);
  const double *size = (const double *) (const void *) sizes.bytes;
  const double *offset = (const double *) (const void *) offsets.bytes;
  bool fits = digests.length / SHA256_BYTES >= count && results.length / sizeof (double) >= count
              && sizes.length / sizeof (double) >= tree.count && offsets.length / sizeof (double) >= tree.count;
  for (size_t i = 0; fits && i < count; i++)
    {
      double at = offset[rows[i]];
      fits = at < 0 || (size[rows[i]] >= 0 && at + size[rows[i]] <= (double) kept.length);
    }
  if (!fits)
    {
      napi_throw_range_error (env, NULL, "columns of different lengths");
      return NULL;
    }
  digest_job *job = calloc (1, sizeof *job);
  if (job == NULL)
    return number (env, -ENOMEM);
  *job = (digest_job){
    .base = { .run = digest_run, .finish = digest_finish, .destroy = digest_destroy },
    .dirfd = int_argument (&args, DIRFD),
    .tree = tree,
    .rows = rows,
    .count = count,
    .digests = digests.bytes,
    .results = (double *) (void *) results.bytes,
    .sizes = size,
    .offsets = offset,
    .kept = kept,
    .folder = -1,
    .folder_row = -1,
  };
  job_hold (&job->base, &args);
  return job_start (env, &job->base, true);
}

const exported digest_functions[] = { { "digestRows", js_digest_rows }, { NULL, NULL } };
