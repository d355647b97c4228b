/* Removes a tree. Symlinks in it are unlinked, never followed: every step is (descriptor of the directory, one name). */
#include "addon.h"

#include <dirent.h>

typedef struct
{
  job base;
  int dirfd, error;
  char name[MAX_PATH];
} remove_job;

static int remove_entry (int dirfd, const char *name, int known_type);

typedef struct
{
  int fd;
  bool found;
} emptying;

static int
remove_found (void *context, const char *name, int type)
{
  emptying *self = context;
  self->found = true;
  return remove_entry (self->fd, name, type);
}

/* Empties the directory. Names are removed during the listing, which may
 * make the kernel skip some, so it is listed again until a pass finds
 * nothing. */
static int
empty_directory (int fd)
{
  emptying self = { .fd = fd, .found = true };
  while (self.found)
    {
      self.found = false;
      if (lseek (fd, 0, SEEK_SET) < 0 || each_name (fd, remove_found, &self) < 0)
        return -1;
    }
  return 0;
}

static int
remove_entry (int dirfd, const char *name, int known_type)
{
  if (known_type != DT_DIR)
    {
      if (known_type != DT_REG)
        forget_owner (dirfd, name);
      if (unlinkat (dirfd, name, 0) == 0 || errno == ENOENT)
        return 0;
      if (errno != EISDIR)
        return -1;
    }
  if (unlinkat (dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
    return 0;
  if (errno != ENOTEMPTY && errno != EEXIST && errno != EACCES)
    return -1;
  int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  cleanup_fd int fd = openat (dirfd, name, flags);
  if (fd < 0 && errno == EACCES)
    {
      /* A directory of our own with a mode that closes it even to us, as
       * overlayfs leaves its work directory. */
      cleanup_fd int held = openat (dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      if (held < 0 || change_mode (held, "", 0700) < 0)
        return errno == ENOENT ? 0 : -1;
      fd = openat (dirfd, name, flags);
    }
  /* Another process may be removing the same directory: it may be gone
   * before it is opened, and cannot be listed once it is. */
  if (fd < 0 || empty_directory (fd) < 0)
    return errno == ENOENT ? 0 : -1;
  return unlinkat (dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -1 : 0;
}

static void
remove_run (job *self)
{
  remove_job *removal = (remove_job *) self;
  removal->error = remove_entry (removal->dirfd, removal->name, DT_UNKNOWN) < 0 ? errno : 0;
}

static napi_value
remove_finish (napi_env env, job *self)
{
  return number (env, -((remove_job *) self)->error);
}

static void
remove_destroy (job *self)
{
  free (self);
}

/* removeTree(dirfd, name, is_async). A missing name is no error. */
static napi_value
js_remove_tree (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  path_argument name;
  path_argument_read (&args, 1, &name);
  if (name.error != 0 || name.bytes[0] == '\0')
    {
      napi_throw_type_error (env, NULL, "cannot remove a path that is empty, holds a NUL or is too long");
      return NULL;
    }
  remove_job *removal = calloc (1, sizeof *removal);
  if (removal == NULL)
    return number (env, -ENOMEM);
  removal->base = (job){ .run = remove_run, .finish = remove_finish, .destroy = remove_destroy };
  removal->dirfd = int_argument (&args, 0);
  memcpy (removal->name, name.bytes, sizeof name.bytes);
  return job_start (env, &removal->base, bool_argument (&args, 2));
}

const exported remove_functions[] = { { "removeTree", js_remove_tree }, { NULL, NULL } };
