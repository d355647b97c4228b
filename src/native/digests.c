/* The sha256 of many small files in one call. Each file has its own result, so one failure does not hide the others. */
#include "addon.h"
#include "sha256.h"

typedef struct
{
  job base;
  int dirfd;
  uint64_t resolve;
  name_list names;
  uint8_t *digests;  /* 32 bytes per file */
  double *results;   /* one per file: its length, or -errno */
} digest_job;

/* Reading is not to change the access time; O_NOATIME is for the file's owner and the privileged only. */
static double
digest_file (const digest_job *job, const char *path, uint8_t *digest)
{
  static __thread uint8_t block[1 << 16];
  int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
  int opened = open_beneath (job->dirfd, path, flags | O_NOATIME, 0, job->resolve);
  cleanup_fd int fd
      = opened < 0 && errno == EPERM ? open_beneath (job->dirfd, path, flags, 0, job->resolve) : opened;
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
  for (size_t i = 0; i < job->names.count; i++)
    job->results[i]
        = digest_file (job, job->names.bytes + job->names.starts[i], job->digests + i * SHA256_BYTES);
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
  names_free (&((digest_job *) self)->names);
  free (self);
}

/* digestFiles(dirfd, names, resolve, digests, results): always on a thread */
static napi_value
js_digest_files (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  digest_job *job = calloc (1, sizeof *job);
  if (job == NULL)
    return number (env, -ENOMEM);
  job->base.run = digest_run;
  job->base.finish = digest_finish;
  job->base.destroy = digest_destroy;
  job->dirfd = int_argument (&args, 0);
  job->resolve = uint_argument (&args, 2);
  span digests = bytes_argument (&args, 3), results = bytes_argument (&args, 4);
  if (!names_argument (&args, 1, &job->names))
    {
      free (job);
      return NULL;
    }
  if (digests.length / SHA256_BYTES < job->names.count || results.length / sizeof (double) < job->names.count)
    {
      digest_destroy (&job->base);
      napi_throw_range_error (env, NULL, "a column is shorter than the list of names");
      return NULL;
    }
  job->digests = digests.bytes;
  job->results = (double *) (void *) results.bytes;
  job_hold (env, &job->base, args.values[3]);
  job_hold (env, &job->base, args.values[4]);
  return job_start (env, &job->base, true);
}

const exported digest_functions[] = { { "digestFiles", js_digest_files }, { NULL, NULL } };
