/* Many small files in one call. Each file has its own result, so one failure does not hide the others. Names may have
 * several components; how they are resolved below the descriptor is the caller's choice of RESOLVE_ flags. */
#include "addon.h"
#include "sha256.h"

#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>

typedef struct
{
  job base;
  int from_fd, to_fd;
  uint32_t resolve;
  name_list from, to;
  uint8_t *data; /* the block written from */
  const double *offsets;
  const double *sizes;
  const uint32_t *modes, *uids, *gids;
  const int64_t *mtimes;
  uint8_t *digests; /* with the next: digest of the written bytes, 32 bytes and the length; NULL if not requested */
  double *written;
  int32_t *results; /* one per file: 0 or -errno */
  bool is_outside;  /* for files outside of the store: nothing is written down */
} batch_job;

static const char *
name_of (const name_list *list, size_t index)
{
  return list->bytes + list->starts[index];
}

/* Reading must not change the access time; O_NOATIME is for the file's owner
 * and the privileged only. */
static int
open_quietly (int dirfd, const char *path, uint64_t resolve)
{
  int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
  int fd = open_beneath (dirfd, path, flags | O_NOATIME, 0, resolve);
  return fd < 0 && errno == EPERM ? open_beneath (dirfd, path, flags, 0, resolve) : fd;
}

static struct timespec
to_timespec (int64_t ns)
{
  int64_t seconds = ns / 1000000000, rest = ns % 1000000000;
  return rest < 0 ? (struct timespec){ .tv_sec = seconds - 1, .tv_nsec = rest + 1000000000 }
                  : (struct timespec){ .tv_sec = seconds, .tv_nsec = rest };
}

/* Tells whether a new file has the group of its set-gid directory. */
static bool
has_other_group (int fd)
{
  struct stat status;
  return file_status (fd, &status) == 0 && status.st_gid != own_gid ();
}

static int
give_owner (int fd, const batch_job *batch, size_t i)
{
  uint32_t uid = batch->uids[i], gid = batch->gids[i];
  if (batch->is_outside)
    {
      struct stat status;
      bool is_given = file_status (fd, &status) == 0 && status.st_uid == uid && status.st_gid == gid;
      return is_given ? 0 : fchown (fd, uid, gid);
    }
  bool is_given = uid == own_uid () && gid == own_gid () && !has_other_group (fd);
  return is_given ? 0 : change_owner (fd, "", uid, gid);
}

/* Sets the owner before the mode: a change of owner takes the setuid and
 * setgid bits away. */
static int
set_metadata (int fd, const batch_job *batch, size_t i)
{
  struct timespec time = to_timespec (batch->mtimes[i]);
  struct timespec times[2] = { time, time };
  mode_t mode = batch->modes[i] & 07777;
  if (give_owner (fd, batch, i) < 0)
    return -1;
  if ((owners_are_kept () && !batch->is_outside ? change_mode (fd, "", mode) : fchmod (fd, mode)) < 0)
    return -1;
  return futimens (fd, times);
}

static int
create (const batch_job *batch, size_t i)
{
  return open_beneath (batch->to_fd, name_of (&batch->to, i), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600,
                       batch->resolve);
}

static int
write_whole (int fd, const uint8_t *bytes, size_t size)
{
  for (size_t done = 0; done < size;)
    {
      ssize_t put = write (fd, bytes + done, size - done);
      if (put < 0 && errno != EINTR)
        return -1;
      if (put > 0)
        done += (size_t) put;
    }
  return 0;
}

static void
write_run (job *self)
{
  batch_job *batch = (batch_job *) self;
  for (size_t i = 0; i < batch->to.count; i++)
    {
      cleanup_fd int fd = create (batch, i);
      bool ok = fd >= 0
                && write_whole (fd, batch->data + (size_t) batch->offsets[i], (size_t) batch->sizes[i]) == 0
                && set_metadata (fd, batch, i) == 0;
      batch->results[i] = ok ? 0 : -errno;
    }
}

/* Copies the bytes from `at` up to `end`, or up to the end of a file that has become shorter. */
static int
copy_stretch (int in, int out, off_t at, off_t end)
{
  enum { BLOCK = 1 << 17 };
  static __thread uint8_t block[BLOCK];
  off_t to = at;
  while (at < end)
    {
      ssize_t moved = copy_file_range (in, &at, out, &to, end - at > (1 << 30) ? (1 << 30) : (size_t) (end - at), 0);
      if (moved < 0 && errno == EINTR)
        continue;
      if (moved <= 0)
        break; /* the end, or not possible here: the loop below goes on from where this stopped */
    }
  while (at < end)
    {
      ssize_t got = pread (in, block, end - at > BLOCK ? BLOCK : (size_t) (end - at), at);
      if (got < 0 && errno == EINTR)
        continue;
      if (got <= 0)
        return (int) got;
      for (ssize_t put = 0; put < got;)
        {
          ssize_t wrote = pwrite (out, block + put, (size_t) (got - put), at + put);
          if (wrote < 0 && errno != EINTR)
            return -1;
          if (wrote > 0)
            put += wrote;
        }
      at += got;
    }
  return 0;
}

/* Copies a file that has fewer blocks than bytes, and leaves its holes holes: a disk image of gigabytes may hold a few
 * megabytes. */
static int
copy_sparse (int in, int out)
{
  struct stat status;
  off_t at = 0;
  for (;;)
    {
      off_t data = lseek (in, at, SEEK_DATA);
      off_t hole = data < 0 ? -1 : lseek (in, data, SEEK_HOLE);
      if (hole < 0 && errno == ENXIO)
        break; /* nothing but a hole up to the end, or the file has become shorter */
      if (hole < 0 || copy_stretch (in, out, data, hole) < 0)
        return -1;
      at = hole;
    }
  return file_status (in, &status) < 0 ? -1 : ftruncate (out, status.st_size);
}

/* Small files go through memory: read and write beat the set-up of
 * copy_file_range. Large ones are shared or copied in the kernel. */
static int
copy_content (int in, int out, bool *can_clone)
{
  enum { SMALL = 1 << 16 };
  static __thread uint8_t block[SMALL];
  struct stat status;
  if (file_status (in, &status) < 0)
    return -1;
  if (!S_ISREG (status.st_mode))
    {
      errno = EINVAL;
      return -1;
    }
  if (*can_clone && status.st_size >= SMALL)
    {
      if (ioctl (out, FICLONE, in) == 0)
        return 0;
      *can_clone = false;
    }
  if (status.st_size >= SMALL && status.st_blocks * 512 < status.st_size)
    return copy_sparse (in, out);
  if (status.st_size >= SMALL)
    for (;;)
      {
        ssize_t moved = copy_file_range (in, NULL, out, NULL, 1 << 30, 0);
        if (moved < 0 && errno == EINTR)
          continue;
        if (moved <= 0)
          break; /* the end, or not possible here: the loop below goes on from where this stopped */
      }
  for (;;)
    {
      ssize_t got = read (in, block, sizeof block);
      if (got < 0 && errno == EINTR)
        continue;
      if (got <= 0)
        return (int) got;
      if (write_whole (out, block, (size_t) got) < 0)
        return -1;
      /* A short read of a regular file is its end. */
      if ((size_t) got < sizeof block && status.st_size < SMALL)
        return 0;
    }
}

/* Computes digest and length of a copy. Its source may change at any time,
 * even without a change of its times; the copy has just been written, so it
 * is in memory. */
static int
digest_copy (int fd, uint8_t *digest, double *length)
{
  enum { BLOCK = 1 << 17 };
  static __thread uint8_t block[BLOCK];
  sha256_state state;
  SHA256_Init (&state);
  for (off_t done = 0;;)
    {
      ssize_t got = pread (fd, block, sizeof block, done);
      if (got < 0 && errno == EINTR)
        continue;
      if (got < 0)
        return -1;
      if (got == 0)
        {
          SHA256_Final (digest, &state);
          *length = (double) done;
          return 0;
        }
      SHA256_Update (&state, block, (size_t) got);
      done += got;
    }
}

static void
copy_run (job *self)
{
  batch_job *batch = (batch_job *) self;
  bool can_clone = true;
  for (size_t i = 0; i < batch->to.count; i++)
    {
      cleanup_fd int in = open_quietly (batch->from_fd, name_of (&batch->from, i), RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
      cleanup_fd int out = in < 0 ? -1 : create (batch, i);
      bool ok = out >= 0 && copy_content (in, out, &can_clone) == 0
                && (batch->digests == NULL || digest_copy (out, batch->digests + SHA256_BYTES * i, batch->written + i) == 0)
                && set_metadata (out, batch, i) == 0;
      batch->results[i] = ok ? 0 : -errno;
    }
}

static napi_value
batch_finish (napi_env env, job *self)
{
  (void) self;
  return number (env, 0);
}

static void
batch_destroy (job *self)
{
  batch_job *batch = (batch_job *) self;
  names_free (&batch->from);
  names_free (&batch->to);
  free (batch);
}

static batch_job *
new_batch (void (*run) (job *))
{
  batch_job *batch = calloc (1, sizeof *batch);
  if (batch != NULL)
    batch->base = (job){ .run = run, .finish = batch_finish, .destroy = batch_destroy };
  return batch;
}

/* A column of `count` items of `width` bytes; NULL with an exception pending when it is shorter. */
static void *
column (const arguments *args, size_t index, size_t count, size_t width)
{
  span bytes = bytes_argument (args, index);
  static const uint8_t nothing[8];
  if (count == 0)
    return (void *) (uintptr_t) nothing;
  if (bytes.bytes == NULL || bytes.length / width < count)
    {
      napi_throw_range_error (args->env, NULL, "a column is shorter than the list of names");
      return NULL;
    }
  return bytes.bytes;
}

/* Finds the block with the files' bytes. Empty ones have no address; they
 * hold no byte to read either. */
static uint8_t *
block_column (const arguments *args, size_t index)
{
  static uint8_t nothing[1];
  span bytes = bytes_argument (args, index);
  return bytes.bytes == NULL ? nothing : bytes.bytes;
}

/* Checks that every file's part lies inside the data block. */
static bool
fits (const arguments *args, const batch_job *batch, size_t index, size_t count)
{
  span block = bytes_argument (args, index);
  for (size_t i = 0; i < count; i++)
    if (!(batch->offsets[i] >= 0 && batch->sizes[i] >= 0 && batch->sizes[i] <= INT32_MAX - 1
          && batch->offsets[i] + batch->sizes[i] <= (double) block.length))
      {
        napi_throw_range_error (args->env, NULL, "a file lies outside the data block");
        return false;
      }
  return true;
}

static napi_value
refuse (napi_env env, batch_job *batch)
{
  bool pending = false;
  job_release (env, &batch->base);
  batch_destroy (&batch->base);
  napi_is_exception_pending (env, &pending);
  if (!pending)
    napi_throw_error (env, NULL, "out of memory");
  return NULL;
}

/* Properties of the calls in this file; each reads some of them. */
enum { FROM_FD, TO_FD, FROM, TO, RESOLVE, DATA, OFFSETS, SIZES, MODES, UIDS, GIDS, MTIMES, RESULTS, DIGESTS, IS_ASYNC, IS_OUTSIDE };
static const char *const properties[]
    = { [FROM_FD] = "fromDirfd", [TO_FD] = "toDirfd", [FROM] = "from",         [TO] = "to",           [RESOLVE] = "resolve",
        [DATA] = "data",         [OFFSETS] = "offsets", [SIZES] = "sizes",     [MODES] = "modes",     [UIDS] = "uids",
        [GIDS] = "gids",         [MTIMES] = "mtimesNs", [RESULTS] = "results", [DIGESTS] = "digests", [IS_ASYNC] = "isAsync",
        [IS_OUTSIDE] = "isOutside" };

/* The columns of metadata, and the one of results. */
static bool
metadata_columns (const arguments *args, batch_job *batch)
{
  size_t n = batch->to.count;
  batch->modes = column (args, MODES, n, sizeof (uint32_t));
  batch->uids = column (args, UIDS, n, sizeof (uint32_t));
  batch->gids = column (args, GIDS, n, sizeof (uint32_t));
  batch->mtimes = column (args, MTIMES, n, sizeof (int64_t));
  batch->results = column (args, RESULTS, n, sizeof (int32_t));
  return batch->modes != NULL && batch->uids != NULL && batch->gids != NULL && batch->mtimes != NULL
         && batch->results != NULL;
}

/* The block of bytes, and where each file's are in it. */
static bool
content_columns (const arguments *args, batch_job *batch, size_t n)
{
  batch->data = block_column (args, DATA);
  batch->offsets = column (args, OFFSETS, n, sizeof (double));
  batch->sizes = column (args, SIZES, n, sizeof (double));
  return batch->offsets != NULL && batch->sizes != NULL && fits (args, batch, DATA, n);
}

/* writeFiles({ toDirfd, to, resolve, data, offsets, sizes, modes, uids, gids, mtimesNs, results, isAsync }) */
static napi_value
js_write_files (napi_env env, napi_callback_info info)
{
  arguments args = read_descriptor (env, info, properties, COUNT_OF (properties));
  batch_job *batch = new_batch (write_run);
  if (batch == NULL)
    return number (env, -ENOMEM);
  batch->to_fd = int_argument (&args, TO_FD);
  if (!names_argument (&args, TO, &batch->to))
    return refuse (env, batch);
  batch->resolve = uint_argument (&args, RESOLVE);
  if (!content_columns (&args, batch, batch->to.count) || !metadata_columns (&args, batch))
    return refuse (env, batch);
  job_hold (&batch->base, &args);
  return job_start (env, &batch->base, bool_argument (&args, IS_ASYNC));
}

/* copyFiles({ fromDirfd, toDirfd, from, to, modes, uids, gids, mtimesNs,
 * results, digests, sizes, isOutside }): always on a thread; digests and
 * sizes, which are filled, may be absent */
static napi_value
js_copy_files (napi_env env, napi_callback_info info)
{
  arguments args = read_descriptor (env, info, properties, COUNT_OF (properties));
  batch_job *batch = new_batch (copy_run);
  if (batch == NULL)
    return number (env, -ENOMEM);
  batch->from_fd = int_argument (&args, FROM_FD);
  batch->to_fd = int_argument (&args, TO_FD);
  batch->resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  if (!names_argument (&args, FROM, &batch->from) || !names_argument (&args, TO, &batch->to))
    return refuse (env, batch);
  batch->is_outside = has_argument (&args, IS_OUTSIDE) && bool_argument (&args, IS_OUTSIDE);
  if (batch->from.count != batch->to.count)
    {
      napi_throw_range_error (env, NULL, "as many names to copy to as from");
      return refuse (env, batch);
    }
  if (!metadata_columns (&args, batch))
    return refuse (env, batch);
  if (has_argument (&args, DIGESTS))
    {
      batch->digests = column (&args, DIGESTS, batch->to.count, SHA256_BYTES);
      batch->written = column (&args, SIZES, batch->to.count, sizeof (double));
      if (batch->digests == NULL || batch->written == NULL)
        return refuse (env, batch);
    }
  job_hold (&batch->base, &args);
  return job_start (env, &batch->base, true);
}

const exported batch_functions[] = {
  { "writeFiles", js_write_files }, { "copyFiles", js_copy_files }, { NULL, NULL },
};
