/* Decompresses a gzip file into a pipe, and digests what comes out, on a thread of its own: the pipe's reader does neither.
 * The members of the file are one stream; zeros may follow the last. RFC 1952. */
#include "addon.h"

#include "sha256.h"
#include "zlib-abi.h"

enum { IN_BLOCK = 1 << 17, OUT_BLOCK = 1 << 17 };
/* Results besides those of the system: the bytes are no gzip, or end too early. */
enum { IS_DAMAGED = 1, IS_CUT = 2 };

typedef struct
{
  job base;
  int input_fd, output_fd;
  const int32_t *is_cancelled;
  int32_t *blocks; /* how many blocks of the file have been read */
  uint8_t *out; /* 32 bytes digest, 64 bits size */
  int64_t result;

  z_stream stream;
  sha256_state digest;
  uint64_t total;
  uint8_t *in_block, *out_block;
} gunzip_job;

/* Fills the input with the next bytes of the file; false at its end, and after a failure. */
static bool
refill (gunzip_job *job)
{
  ssize_t got;
  do
    got = read (job->input_fd, job->in_block, IN_BLOCK);
  while (got < 0 && errno == EINTR);
  if (got < 0)
    job->result = -errno;
  __atomic_add_fetch (job->blocks, 1, __ATOMIC_RELAXED);
  job->stream.next_in = job->in_block;
  job->stream.avail_in = got > 0 ? (unsigned) got : 0;
  return got > 0;
}

static void
put (gunzip_job *job, size_t length)
{
  SHA256_Update (&job->digest, job->out_block, length);
  job->total += length;
  for (size_t done = 0; done < length && job->result == 0;)
    {
      ssize_t written = write (job->output_fd, job->out_block + done, length - done);
      if (written < 0 && errno != EINTR)
        job->result = -errno;
      if (written > 0)
        done += (size_t) written;
    }
}

/* Decompresses up to the end of the member at hand. */
static void
inflate_member (gunzip_job *job)
{
  int status = Z_OK;
  while (status != Z_STREAM_END && job->result == 0)
    {
      if (__atomic_load_n (job->is_cancelled, __ATOMIC_RELAXED) != 0)
        job->result = -ECANCELED;
      else if (job->stream.avail_in == 0 && !refill (job) && job->result == 0)
        job->result = IS_CUT;
      if (job->result != 0)
        return;
      job->stream.next_out = job->out_block;
      job->stream.avail_out = OUT_BLOCK;
      status = inflate (&job->stream, Z_NO_FLUSH);
      if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
        job->result = status == Z_MEM_ERROR ? -ENOMEM : IS_DAMAGED;
      put (job, OUT_BLOCK - job->stream.avail_out);
    }
}

static bool
are_zeros_left (gunzip_job *job)
{
  do
    for (; job->stream.avail_in > 0; job->stream.avail_in--)
      if (*job->stream.next_in++ != 0)
        return false;
  while (refill (job));
  return true;
}

/* Tells whether another member follows. */
static bool
next_member (gunzip_job *job)
{
  if (job->result != 0 || (job->stream.avail_in == 0 && !refill (job)))
    return false;
  if (*job->stream.next_in == 0x1f)
    return inflateReset (&job->stream) == Z_OK;
  if (!are_zeros_left (job) && job->result == 0)
    job->result = IS_DAMAGED;
  return false;
}

static void
gunzip_run (job *self)
{
  gunzip_job *job = (gunzip_job *) self;
  SHA256_Init (&job->digest);
  job->in_block = malloc (IN_BLOCK);
  job->out_block = malloc (OUT_BLOCK);
  if (job->in_block == NULL || job->out_block == NULL
      || inflateInit2_ (&job->stream, WITH_GZIP_HEADER, ZLIB_VERSION, (int) sizeof job->stream) != Z_OK)
    job->result = -ENOMEM;
  else
    {
      do
        inflate_member (job);
      while (next_member (job));
      inflateEnd (&job->stream);
    }
  SHA256_Final (job->out, &job->digest);
  memcpy (job->out + SHA256_BYTES, &job->total, sizeof job->total);
  free (job->in_block);
  free (job->out_block);
}

static napi_value
gunzip_finish (napi_env env, job *self)
{
  return number (env, ((gunzip_job *) self)->result);
}

static void
gunzip_destroy (job *self)
{
  free (self);
}

/* gunzip({ inputFd, outputFd, isCancelled, blocks, sums }): always on a thread */
static napi_value
js_gunzip (napi_env env, napi_callback_info info)
{
  enum { INPUT_FD, OUTPUT_FD, IS_CANCELLED, BLOCKS, SUMS };
  static const char *const properties[]
      = { [INPUT_FD] = "inputFd", [OUTPUT_FD] = "outputFd", [IS_CANCELLED] = "isCancelled", [BLOCKS] = "blocks", [SUMS] = "sums" };
  arguments args = read_descriptor (env, info, properties, COUNT_OF (properties));
  span cancelled = bytes_argument (&args, IS_CANCELLED), sums = bytes_argument (&args, SUMS);
  span blocks = bytes_argument (&args, BLOCKS);
  if (cancelled.length < sizeof (int32_t) || blocks.length < sizeof (int32_t) || sums.length < SHA256_BYTES + sizeof (uint64_t))
    {
      napi_throw_range_error (env, NULL, "no room for the sums");
      return NULL;
    }
  gunzip_job *job = calloc (1, sizeof *job);
  if (job == NULL)
    return number (env, -ENOMEM);
  job->base.run = gunzip_run;
  job->base.finish = gunzip_finish;
  job->base.destroy = gunzip_destroy;
  job->input_fd = int_argument (&args, INPUT_FD);
  job->output_fd = int_argument (&args, OUTPUT_FD);
  job->is_cancelled = (const int32_t *) (const void *) cancelled.bytes;
  job->blocks = (int32_t *) (void *) blocks.bytes;
  job->out = sums.bytes;
  job_hold (&job->base, &args);
  return job_start (env, &job->base, JOB_THREAD);
}

const exported gunzip_functions[] = { { "gunzip", js_gunzip }, { NULL, NULL } };
