/* Gives files of one tree a second name at the same path of another, when
 * they equal the wanted files. Sharing an inode shares its owner, mode and
 * times as well, so all of them must be right already: this file never
 * changes them. */
#include "addon.h"

#include <linux/openat2.h>

typedef struct
{
  job base;
  int from_fd, to_fd;
  name_list names;
  const double *sizes;
  const uint32_t *modes, *uids, *gids;
  const int64_t *mtimes;
  double *results; /* one per file: its inode, or -errno; -ESTALE where the file is another than wanted */
} link_job;

/* The last directory in both trees: names come directory by directory. */
typedef struct
{
  const char *path;
  size_t length;
  int from, to;
} folder;

static void
leave (folder *held)
{
  if (held->path != NULL && held->from >= 0)
    close (held->from);
  if (held->path != NULL && held->to >= 0)
    close (held->to);
  *held = (folder){ .from = -1, .to = -1 };
}

static int
enter (const link_job *links, folder *held, const char *path, size_t length)
{
  if (held->path != NULL && held->length == length && memcmp (held->path, path, length) == 0)
    return 0;
  leave (held);
  char copy[MAX_PATH];
  if (length >= sizeof copy)
    {
      errno = ENAMETOOLONG;
      return -1;
    }
  memcpy (copy, length == 0 ? "." : path, length == 0 ? 1 : length);
  copy[length == 0 ? 1 : length] = '\0';
  uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  *held = (folder){ .path = path, .length = length, .to = -1 };
  held->from = open_beneath (links->from_fd, copy, O_PATH | O_DIRECTORY, 0, resolve);
  if (held->from >= 0)
    held->to = open_beneath (links->to_fd, copy, O_PATH | O_DIRECTORY, 0, resolve);
  if (held->to >= 0)
    return 0;
  int saved = errno;
  leave (held);
  errno = saved;
  return -1;
}

static bool
is_wanted (const link_job *links, size_t i, const struct statx *status)
{
  int64_t seconds = links->mtimes[i] / 1000000000, rest = links->mtimes[i] % 1000000000;
  if (rest < 0)
    {
      seconds -= 1;
      rest += 1000000000;
    }
  return S_ISREG (status->stx_mode) && (status->stx_mode & 07777) == (links->modes[i] & 07777)
         && status->stx_uid == links->uids[i] && status->stx_gid == links->gids[i]
         && (double) status->stx_size == links->sizes[i] && status->stx_mtime.tv_sec == seconds
         && status->stx_mtime.tv_nsec == (uint32_t) rest;
}

static double
link_one (const link_job *links, size_t i, folder *held)
{
  const char *path = links->names.bytes + links->names.starts[i], *slash = strrchr (path, '/');
  const char *name = slash == NULL ? path : slash + 1;
  struct statx status;
  if (enter (links, held, path, slash == NULL ? 0 : (size_t) (slash - path)) < 0
      || status_of (held->from, name, &status) < 0)
    return -errno;
  if (!is_wanted (links, i, &status) || xattr_list (held->from, name, NULL, 0) > 0)
    return -ESTALE;
  return linkat (held->from, name, held->to, name, 0) < 0 ? -errno : (double) status.stx_ino;
}

static void
link_run (job *self)
{
  link_job *links = (link_job *) self;
  folder held = { .from = -1, .to = -1 };
  for (size_t i = 0; i < links->names.count; i++)
    links->results[i] = link_one (links, i, &held);
  leave (&held);
}

static napi_value
link_finish (napi_env env, job *self)
{
  (void) self;
  return number (env, 0);
}

static void
link_destroy (job *self)
{
  link_job *links = (link_job *) self;
  names_free (&links->names);
  free (links);
}

/* linkFiles({ fromDirfd, toDirfd, names, sizes, modes, uids, gids, mtimesNs, results }): always on a thread */
static napi_value
js_link_files (napi_env env, napi_callback_info info)
{
  enum { FROM_FD, TO_FD, NAMES, SIZES, MODES, UIDS, GIDS, MTIMES, RESULTS, PROPERTIES };
  static const char *const properties[PROPERTIES]
      = { [FROM_FD] = "fromDirfd", [TO_FD] = "toDirfd", [NAMES] = "names",     [SIZES] = "sizes",    [MODES] = "modes",
          [UIDS] = "uids",         [GIDS] = "gids",     [MTIMES] = "mtimesNs", [RESULTS] = "results" };
  static const size_t widths[PROPERTIES]
      = { [SIZES] = sizeof (double), [MODES] = 4, [UIDS] = 4, [GIDS] = 4, [MTIMES] = 8, [RESULTS] = sizeof (double) };
  arguments args = read_descriptor (env, info, properties, PROPERTIES);
  span columns[PROPERTIES];
  link_job *links = calloc (1, sizeof *links);
  if (links == NULL)
    return number (env, -ENOMEM);
  links->base = (job){ .run = link_run, .finish = link_finish, .destroy = link_destroy };
  links->from_fd = int_argument (&args, FROM_FD);
  links->to_fd = int_argument (&args, TO_FD);
  if (!names_argument (&args, NAMES, &links->names))
    {
      free (links);
      return NULL;
    }
  for (size_t c = SIZES; c < PROPERTIES; c++)
    {
      columns[c] = bytes_argument (&args, c);
      if (columns[c].length / widths[c] >= links->names.count)
        continue;
      link_destroy (&links->base);
      napi_throw_range_error (env, NULL, "a column is shorter than the list of names");
      return NULL;
    }
  links->sizes = (const double *) (const void *) columns[SIZES].bytes;
  links->modes = (const uint32_t *) (const void *) columns[MODES].bytes;
  links->uids = (const uint32_t *) (const void *) columns[UIDS].bytes;
  links->gids = (const uint32_t *) (const void *) columns[GIDS].bytes;
  links->mtimes = (const int64_t *) (const void *) columns[MTIMES].bytes;
  links->results = (double *) (void *) columns[RESULTS].bytes;
  job_hold (&links->base, &args);
  return job_start (env, &links->base, true);
}

const exported link_functions[] = { { "linkFiles", js_link_files }, { NULL, NULL } };
