/* A whole tree in one call. JavaScript gets columns, not objects: 10,000 entries cost a few milliseconds that way. */
#include "addon.h"

#include "arena.h"

#include <sys/sysmacros.h>

enum { WANT_XATTRS = 1, WANT_LINKS = 2, MAX_DEPTH = 8000 };

typedef struct
{
  int64_t mtime_ns, ctime_ns;
  uint64_t ino;
  double size, dev, disk;
  uint32_t mode, uid, gid, nlink, rdev_major, rdev_minor;
  int32_t parent;
  uint32_t name_end, link_end;
  uint8_t flags;
} entry;

typedef struct
{
  job base;
  int dirfd, options, max_depth, error;
  char root[MAX_PATH];
  const char **pruned_paths, **pruned_names; /* sorted lists */
  size_t pruned_path_count, pruned_name_count;
  name_list paths_list, names_list;
  entry *entries;
  size_t count, room;
  arena names, links;
  arena path; /* path of the current entry, relative to the root, NUL-terminated */
} scan_job;

/* A callback for qsort and bsearch over `const char *`. strcmp compares bytes as unsigned: the order of the tree. */
static int
by_bytes (const void *left, const void *right)
{
  return strcmp (*(const char *const *) left, *(const char *const *) right);
}

static bool
is_listed (const char **sorted, size_t count, const char *name)
{
  return count > 0 && bsearch (&name, sorted, count, sizeof *sorted, by_bytes) != NULL;
}

typedef struct
{
  arena *block;
  size_t count;
} listing;

static int
add_name (void *context, const char *name, int type)
{
  (void) type;
  listing *self = context;
  if (arena_add (self->block, name, strlen (name) + 1) == NULL)
    return -1;
  self->count += 1;
  return 0;
}

/* Lists the names in a directory, sorted. `block` owns the bytes. */
static int
read_names (int fd, arena *block, const char ***sorted, size_t *count)
{
  listing found = { .block = block };
  if (each_name (fd, add_name, &found) < 0)
    return -1;
  *count = found.count;
  *sorted = malloc ((*count + 1) * sizeof **sorted);
  if (*sorted == NULL)
    return -1;
  const char *name = block->bytes;
  for (size_t i = 0; i < *count; i++, name += strlen (name) + 1)
    (*sorted)[i] = name;
  if (*count > 0)
    qsort (*sorted, *count, sizeof **sorted, by_bytes);
  return 0;
}

/* Clamps to 64 bits of nanoseconds, which end in 2262. File systems go on
 * until 2446 or longer; such times are cut off, not wrapped around. */
static int64_t
to_ns (const struct statx_timestamp *time)
{
  int64_t ns;
  if (__builtin_mul_overflow (time->tv_sec, 1000000000, &ns) || __builtin_add_overflow (ns, time->tv_nsec, &ns))
    return time->tv_sec < 0 ? INT64_MIN : INT64_MAX;
  return ns;
}

static entry *
add_entry (scan_job *scan, int dirfd, const char *name, const char *shown, int32_t parent)
{
  struct statx status;
  if (status_of (dirfd, name, &status) < 0)
    return NULL;
  if (scan->count == scan->room)
    {
      size_t room = 2 * scan->room + 1024;
      entry *grown = realloc (scan->entries, room * sizeof *grown);
      if (grown == NULL)
        return NULL;
      scan->entries = grown;
      scan->room = room;
    }
  if (arena_add (&scan->names, shown, strlen (shown)) == NULL)
    return NULL;
  if ((scan->options & WANT_LINKS) != 0 && S_ISLNK (status.stx_mode))
    {
      char target[MAX_PATH];
      ssize_t length = readlinkat (dirfd, name, target, sizeof target);
      if (length < 0 || arena_add (&scan->links, target, (size_t) length) == NULL)
        return NULL;
    }
  entry *added = &scan->entries[scan->count++];
  *added = (entry){
    .mtime_ns = to_ns (&status.stx_mtime),
    .ctime_ns = to_ns (&status.stx_ctime),
    .ino = status.stx_ino,
    .size = (double) status.stx_size,
    .dev = (double) makedev (status.stx_dev_major, status.stx_dev_minor),
    .disk = (double) status.stx_blocks * 512,
    .mode = status.stx_mode,
    .uid = status.stx_uid,
    .gid = status.stx_gid,
    .nlink = status.stx_nlink,
    .rdev_major = status.stx_rdev_major,
    .rdev_minor = status.stx_rdev_minor,
    .parent = parent,
    .name_end = (uint32_t) scan->names.used,
    .link_end = (uint32_t) scan->links.used,
  };
  if ((scan->options & WANT_XATTRS) != 0 && xattr_list (dirfd, name, NULL, 0) > 0)
    added->flags |= HAS_XATTRS;
  return added;
}

static int
scan_directory (scan_job *scan, int fd, int32_t self, int depth)
{
  arena block = { 0 };
  cleanup_free const char **sorted = NULL;
  size_t count = 0;
  int result = -1;
  if (read_names (fd, &block, &sorted, &count) < 0)
    goto done;
  size_t base = scan->path.used;
  for (size_t i = 0; i < count; i++)
    {
      const char *name = sorted[i];
      scan->path.used = base;
      if ((base > 0 && arena_add (&scan->path, "/", 1) == NULL)
          || arena_add (&scan->path, name, strlen (name) + 1) == NULL)
        goto done;
      scan->path.used -= 1; /* keep the NUL behind the path, outside its length */
      entry *added = add_entry (scan, fd, name, name, self);
      if (added == NULL)
        {
          /* It disappeared between the listing and this look: treat it as
           * never listed. */
          if (errno == ENOENT)
            continue;
          goto done;
        }
      if (!S_ISDIR (added->mode) || depth >= scan->max_depth
          || is_listed (scan->pruned_names, scan->pruned_name_count, name)
          || is_listed (scan->pruned_paths, scan->pruned_path_count, scan->path.bytes))
        continue;
      int32_t index = (int32_t) (scan->count - 1);
      cleanup_fd int child = openat (fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
      if (child < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
        continue;
      if (child < 0 || scan_directory (scan, child, index, depth + 1) < 0)
        goto done;
    }
  scan->path.used = base;
  if (scan->path.bytes != NULL)
    scan->path.bytes[base] = '\0';
  result = 0;
done:
  {
    int saved = errno;
    free (block.bytes);
    errno = saved;
  }
  return result;
}

static void
scan_run (job *self)
{
  scan_job *scan = (scan_job *) self;
  const char *root = scan->root[0] == '\0' ? "." : scan->root;
  cleanup_fd int fd = openat (scan->dirfd, root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || add_entry (scan, fd, "", "", -1) == NULL || (scan->max_depth > 0 && scan_directory (scan, fd, 0, 1) < 0))
    scan->error = errno;
}

static napi_value
typed (napi_env env, napi_value buffer, napi_typedarray_type type, size_t offset, size_t length)
{
  napi_value result;
  napi_create_typedarray (env, type, length, buffer, offset, &result);
  return result;
}

/* One ArrayBuffer holds all columns, widest first so that each is aligned. */
static napi_value
scan_finish (napi_env env, job *self)
{
  scan_job *scan = (scan_job *) self;
  napi_value result, buffer;
  napi_create_object (env, &result);
  napi_set_named_property (env, result, "error", number (env, -scan->error));
  if (scan->error != 0)
    {
      napi_value path;
      napi_create_buffer_copy (env, scan->path.used, scan->path.bytes, NULL, &path);
      napi_set_named_property (env, result, "path", path);
      return result;
    }
  size_t n = scan->count, room = n * (6 * 8 + 9 * 4 + 1) + 8;
  void *data = NULL;
  if (napi_create_arraybuffer (env, room, &data, &buffer) != napi_ok)
    {
      napi_set_named_property (env, result, "error", number (env, -ENOMEM));
      return result;
    }
  char *at = data;
#define COLUMN(name, ctype, jstype, field)                                                                             \
  {                                                                                                                    \
    ctype *column = (ctype *) (void *) at;                                                                             \
    for (size_t i = 0; i < n; i++)                                                                                     \
      column[i] = scan->entries[i].field;                                                                              \
    napi_set_named_property (env, result, name, typed (env, buffer, jstype, (size_t) (at - (char *) data), n));        \
    at += n * sizeof (ctype);                                                                                          \
  }
  COLUMN ("mtimeNs", int64_t, napi_bigint64_array, mtime_ns)
  COLUMN ("ctimeNs", int64_t, napi_bigint64_array, ctime_ns)
  COLUMN ("ino", uint64_t, napi_biguint64_array, ino)
  COLUMN ("size", double, napi_float64_array, size)
  COLUMN ("dev", double, napi_float64_array, dev)
  COLUMN ("diskBytes", double, napi_float64_array, disk)
  COLUMN ("mode", uint32_t, napi_uint32_array, mode)
  COLUMN ("uid", uint32_t, napi_uint32_array, uid)
  COLUMN ("gid", uint32_t, napi_uint32_array, gid)
  COLUMN ("nlink", uint32_t, napi_uint32_array, nlink)
  COLUMN ("rdevMajor", uint32_t, napi_uint32_array, rdev_major)
  COLUMN ("rdevMinor", uint32_t, napi_uint32_array, rdev_minor)
  COLUMN ("parent", int32_t, napi_int32_array, parent)
  COLUMN ("nameEnd", uint32_t, napi_uint32_array, name_end)
  COLUMN ("linkEnd", uint32_t, napi_uint32_array, link_end)
  COLUMN ("flags", uint8_t, napi_uint8_array, flags)
  napi_value names, links;
  napi_create_buffer_copy (env, scan->names.used, scan->names.bytes, NULL, &names);
  napi_create_buffer_copy (env, scan->links.used, scan->links.bytes, NULL, &links);
  napi_set_named_property (env, result, "names", names);
  napi_set_named_property (env, result, "links", links);
  return result;
}

static void
scan_destroy (job *self)
{
  scan_job *scan = (scan_job *) self;
  names_free (&scan->paths_list);
  names_free (&scan->names_list);
  free (scan->pruned_paths);
  free (scan->pruned_names);
  free (scan->entries);
  free (scan->names.bytes);
  free (scan->links.bytes);
  free (scan->path.bytes);
  free (scan);
}

static const char **
sorted_names (const name_list *list)
{
  const char **sorted = malloc ((list->count + 1) * sizeof *sorted);
  if (sorted == NULL)
    return NULL;
  for (size_t i = 0; i < list->count; i++)
    sorted[i] = list->bytes + list->starts[i];
  if (list->count > 0)
    qsort (sorted, list->count, sizeof *sorted, by_bytes);
  return sorted;
}

/* scanTree({ dirfd, path, options, maxDepth, prunePaths, pruneNames, isAsync }) */
static napi_value
js_scan_tree (napi_env env, napi_callback_info info)
{
  enum { DIRFD, PATH, OPTIONS, MAX_DEPTH_WANTED, PRUNE_PATHS, PRUNE_NAMES, IS_ASYNC };
  static const char *const properties[] = { [DIRFD] = "dirfd",
                                            [PATH] = "path",
                                            [OPTIONS] = "options",
                                            [MAX_DEPTH_WANTED] = "maxDepth",
                                            [PRUNE_PATHS] = "prunePaths",
                                            [PRUNE_NAMES] = "pruneNames",
                                            [IS_ASYNC] = "isAsync" };
  arguments args = read_descriptor (env, info, properties, COUNT_OF (properties));
  path_argument root;
  path_argument_read (&args, PATH, &root);
  scan_job *scan = calloc (1, sizeof *scan);
  if (scan == NULL)
    return number (env, -ENOMEM);
  scan->base = (job){ .run = scan_run, .finish = scan_finish, .destroy = scan_destroy };
  scan->dirfd = int_argument (&args, DIRFD);
  scan->options = int_argument (&args, OPTIONS);
  scan->max_depth = int_argument (&args, MAX_DEPTH_WANTED);
  if (scan->max_depth < 0 || scan->max_depth > MAX_DEPTH)
    scan->max_depth = MAX_DEPTH;
  memcpy (scan->root, root.bytes, sizeof root.bytes);
  if (!names_argument (&args, PRUNE_PATHS, &scan->paths_list) || !names_argument (&args, PRUNE_NAMES, &scan->names_list))
    {
      scan_destroy (&scan->base);
      return NULL;
    }
  scan->pruned_paths = sorted_names (&scan->paths_list);
  scan->pruned_names = sorted_names (&scan->names_list);
  scan->pruned_path_count = scan->pruned_paths == NULL ? 0 : scan->paths_list.count;
  scan->pruned_name_count = scan->pruned_names == NULL ? 0 : scan->names_list.count;
  if (root.error != 0 || scan->pruned_paths == NULL || scan->pruned_names == NULL)
    {
      scan_destroy (&scan->base);
      napi_throw_type_error (env, NULL, "cannot scan a path that holds a NUL or is too long");
      return NULL;
    }
  return job_start (env, &scan->base, bool_argument (&args, IS_ASYNC));
}

const exported scan_functions[] = { { "scanTree", js_scan_tree }, { NULL, NULL } };
