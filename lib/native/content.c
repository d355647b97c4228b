/* Whole files: locking, flushing. */
#include "addon.h"

#include <sys/file.h>
#include <sys/ioctl.h>

static int
lock_file (int fd, int operation)
{
  int result;
  do
    result = flock (fd, operation);
  while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : 0;
}

/* A lock belongs to the open file: it ends when the last descriptor closes,
 * and so with its process. */
static napi_value
js_flock (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  return number (env, lock_file (int_argument (&args, 0), int_argument (&args, 1)));
}

/* Waiting may take as long as another process's build. A few waiters on libuv's pool would stop everything else that uses the
 * pool, so each gets a thread of its own. */
typedef struct
{
  job base;
  int fd, operation, result;
} lock_wait;

static void
lock_run (job *self)
{
  lock_wait *wait = (lock_wait *) self;
  wait->result = lock_file (wait->fd, wait->operation);
}

static napi_value
lock_finish (napi_env env, job *self)
{
  return number (env, ((lock_wait *) self)->result);
}

static void
lock_destroy (job *self)
{
  free (self);
}

static napi_value
js_wait_flock (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  lock_wait *wait = calloc (1, sizeof *wait);
  if (wait == NULL)
    return number (env, -ENOMEM);
  wait->base = (job){ .run = lock_run, .finish = lock_finish, .destroy = lock_destroy };
  wait->fd = int_argument (&args, 0);
  wait->operation = int_argument (&args, 1);
  return job_start (env, &wait->base, JOB_THREAD);
}

/* Makes a pipe with the largest permitted capacity, up to a mebibyte. */
static napi_value
js_pipe (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  span out = bytes_argument (&args, 0);
  int ends[2];
  if (out.length < sizeof ends)
    return number (env, -EINVAL);
  if (pipe2 (ends, O_CLOEXEC) < 0)
    return number (env, -errno);
  (void) fcntl (ends[1], F_SETPIPE_SZ, 1 << 20);
  memcpy (out.bytes, ends, sizeof ends);
  return number (env, 0);
}

static napi_value
js_syncfs (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  return outcome (env, syncfs (int_argument (&args, 0)));
}

/* Allocates blocks for the first `length` bytes of a file, holes included;
 * its bytes stay the same. */
static napi_value
js_allocate (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  return outcome (env, fallocate (int_argument (&args, 0), 0, 0, (off_t) int64_argument (&args, 1)));
}

const exported content_functions[] = {
  { "flock", js_flock }, { "waitFlock", js_wait_flock }, { "syncfs", js_syncfs },
  { "allocate", js_allocate }, { "pipe", js_pipe },
  { NULL, NULL },
};
