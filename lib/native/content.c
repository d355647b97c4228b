/* Whole files: copying, cloning, locking, flushing. */
#include "addon.h"

#include <linux/fs.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/ioctl.h>

/* Copies up to `length` bytes between the descriptors' own positions and returns how many, fewer only at the end of the
 * input. copy_file_range shares extents where the file system can. It refuses some pairs (other file systems before
 * Linux 5.19, special files, O_APPEND), then the bytes go through memory. */
static int64_t
copy_range (int in, int out, int64_t length)
{
  int64_t done = 0;
  while (done < length)
    {
      int64_t want = length - done;
      ssize_t moved = copy_file_range (in, NULL, out, NULL, want > (1 << 30) ? (1 << 30) : (size_t) want, 0);
      if (moved < 0 && errno == EINTR)
        continue;
      if (moved < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM || errno == EBADF))
        break;
      if (moved < 0)
        return -1;
      /* 0 may be the end, or a file of /proc that claims to be empty: let read() decide. */
      if (moved == 0)
        break;
      done += moved;
    }
  if (done >= length)
    return done;
  enum { BLOCK = 1 << 18 };
  cleanup_free char *block = malloc (BLOCK);
  if (block == NULL)
    return -1;
  while (done < length)
    {
      int64_t want = length - done;
      ssize_t got = read (in, block, want > BLOCK ? BLOCK : (size_t) want);
      if (got < 0 && errno == EINTR)
        continue;
      if (got < 0)
        return -1;
      if (got == 0)
        break;
      for (ssize_t put = 0; put < got;)
        {
          ssize_t wrote = write (out, block + put, (size_t) (got - put));
          if (wrote < 0 && errno != EINTR)
            return -1;
          if (wrote > 0)
            put += wrote;
        }
      done += got;
    }
  return done;
}

static napi_value
js_copy_file_range (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  return outcome (env, copy_range (int_argument (&args, 0), int_argument (&args, 1), int64_argument (&args, 2)));
}

static napi_value
js_clone (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  return outcome (env, ioctl (int_argument (&args, 1), FICLONE, int_argument (&args, 0)));
}

static int
lock_file (int fd, int operation)
{
  int result;
  do
    result = flock (fd, operation);
  while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : 0;
}

/* A lock belongs to the open file: it goes when the last descriptor closes, so with its process. */
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
  int fd, operation, result;
  napi_deferred deferred;
  napi_threadsafe_function done;
} lock_wait;

static void *
lock_thread (void *data)
{
  lock_wait *wait = data;
  napi_threadsafe_function done = wait->done;
  wait->result = lock_file (wait->fd, wait->operation);
  napi_call_threadsafe_function (done, wait, napi_tsfn_blocking);
  napi_release_threadsafe_function (done, napi_tsfn_release);
  return NULL;
}

static void
lock_done (napi_env env, napi_value callback, void *context, void *data)
{
  (void) callback;
  (void) context;
  lock_wait *wait = data;
  /* No environment: the process is on its way out and nobody waits any more. */
  if (env != NULL)
    napi_resolve_deferred (env, wait->deferred, number (env, wait->result));
  free (wait);
}

static napi_value
js_wait_flock (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  napi_value promise, name;
  lock_wait *wait = calloc (1, sizeof *wait);
  if (wait == NULL)
    return number (env, -ENOMEM);
  wait->fd = int_argument (&args, 0);
  wait->operation = int_argument (&args, 1);
  napi_create_promise (env, &wait->deferred, &promise);
  napi_create_string_utf8 (env, "flock", NAPI_AUTO_LENGTH, &name);
  napi_create_threadsafe_function (env, NULL, NULL, name, 1, 1, NULL, NULL, NULL, lock_done, &wait->done);

  pthread_t thread;
  pthread_attr_t attributes;
  pthread_attr_init (&attributes);
  pthread_attr_setdetachstate (&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize (&attributes, 1 << 18);
  int failed = pthread_create (&thread, &attributes, lock_thread, wait);
  pthread_attr_destroy (&attributes);
  if (failed != 0)
    {
      wait->result = -failed;
      napi_threadsafe_function done = wait->done;
      napi_call_threadsafe_function (done, wait, napi_tsfn_nonblocking);
      napi_release_threadsafe_function (done, napi_tsfn_release);
    }
  return promise;
}

static napi_value
js_syncfs (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  return outcome (env, syncfs (int_argument (&args, 0)));
}

/* Gives blocks to all of the first `length` bytes of a file, holes included; its bytes stay what they are. */
static napi_value
js_allocate (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  return outcome (env, fallocate (int_argument (&args, 0), 0, 0, (off_t) int64_argument (&args, 1)));
}

const exported content_functions[] = {
  { "copyFileRange", js_copy_file_range }, { "clone", js_clone }, { "flock", js_flock }, { "waitFlock", js_wait_flock }, { "syncfs", js_syncfs },
  { "allocate", js_allocate },
  { NULL, NULL },
};
