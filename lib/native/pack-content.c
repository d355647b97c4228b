/* The bytes of a layer's files: from its directory or another one, from
 * memory, or from an earlier tar. */
#include "pack.h"

#include <linux/openat2.h>

enum { MAX_EARLIER = 1 << 20 };

/* Opens the earlier tar. Without memory for it, every file is read from its
 * source. */
void
open_content (pack_job *pack)
{
  pack->folder = pack->folder_row = -1;
  if (pack->output.earlier_fd < 0)
    return;
  pack->earlier_bytes = malloc (MAX_EARLIER);
  if (pack->earlier_bytes != NULL)
    pack->earlier = tar_cursor_open (pack->output.earlier_fd);
}

void
close_content (pack_job *pack)
{
  if (pack->folder >= 0)
    close (pack->folder);
  tar_cursor_close (pack->earlier);
  free (pack->earlier_bytes);
}

/* Opens a directory once for all its files, because they come one after the
 * other. */
static int
folder_of (pack_job *pack, size_t row)
{
  int32_t parent = pack->rows.parents[row];
  if (parent <= 0)
    return pack->dirfd;
  if (parent == pack->folder_row)
    return pack->folder;
  ssize_t length = path_of (&pack->rows, (size_t) parent, &pack->first_path);
  if (length < 0)
    return -1;
  if ((size_t) length <= pack->output.strip)
    return pack->dirfd;
  if (pack->folder >= 0)
    close (pack->folder);
  pack->folder_row = parent;
  const char *path = pack->first_path.bytes + pack->output.strip;
  pack->folder = open_beneath (pack->dirfd, path, O_PATH | O_DIRECTORY, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  return pack->folder;
}

int
place_of (pack_job *pack, size_t row, char name[MAX_PATH])
{
  size_t start = name_start (pack->rows.name_ends, row), length = pack->rows.name_ends[row] - start;
  if (length >= MAX_PATH)
    {
      errno = ENAMETOOLONG;
      return -1;
    }
  memcpy (name, pack->rows.names + start, length);
  name[length] = '\0';
  return folder_of (pack, row);
}

/* Reads a file into the stream and digests it if needed. ESTALE is a file of
 * another length than before. */
static int
emit_file (pack_job *pack, size_t row, uint8_t sum[SHA256_BYTES])
{
  char name[MAX_PATH];
  int folder = place_of (pack, row, name);
  if (folder < 0)
    return -1;
  bool is_digested = pack->counts_content || pack->output.expected != NULL;
  int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  int opened = openat (folder, name, flags | O_NOATIME);
  cleanup_fd int fd = opened < 0 && errno == EPERM ? openat (folder, name, flags) : opened;
  if (fd < 0)
    return -1;
  sha256_state digest;
  SHA256_Init (&digest);
  uint64_t left = (uint64_t) pack->rows.sizes[row];
  bool at_end = false;
  while (left > 0)
    {
      size_t room = STREAM_BLOCK - pack->used;
      /* One extra byte tells that the file has grown, without another call. */
      size_t wanted = left < room ? (size_t) left + 1 : room;
      ssize_t got = read (fd, pack->block + pack->used, wanted);
      if (got < 0 && errno == EINTR)
        continue;
      if (got < 0)
        return -1;
      if (got == 0 || (uint64_t) got > left)
        {
          errno = ESTALE;
          return -1;
        }
      at_end = left < room && (uint64_t) got == left;
      if (is_digested)
        SHA256_Update (&digest, pack->block + pack->used, (size_t) got);
      pack->used += (size_t) got;
      left -= (uint64_t) got;
      if (pack->used == STREAM_BLOCK)
        {
          emit_block (pack);
          if (pack->error != 0 || __atomic_load_n (pack->is_cancelled, __ATOMIC_RELAXED) != 0)
            {
              errno = pack->error != 0 ? pack->error : ECANCELED;
              return -1;
            }
        }
    }
  uint8_t more;
  if (!at_end && read (fd, &more, 1) > 0)
    {
      errno = ESTALE;
      return -1;
    }
  SHA256_Final (sum, &digest);
  return 0;
}

/* Does the same from memory, for bytes that gave the expected digest. */
static bool
emit_kept (pack_job *pack, size_t row)
{
  if (pack->output.kept_at == NULL || pack->output.kept_at[row] < 0)
    return false;
  emit (pack, pack->output.kept.bytes + (size_t) pack->output.kept_at[row], (size_t) pack->rows.sizes[row]);
  return true;
}

/* Does the same from the earlier tar, if that has exactly these bytes at
 * this path. */
static bool
emit_earlier (pack_job *pack, size_t row)
{
  uint8_t sum[SHA256_BYTES];
  size_t size = (size_t) pack->rows.sizes[row];
  if (pack->earlier == NULL || pack->rows.sizes[row] > MAX_EARLIER || path_of (&pack->rows, row, &pack->first_path) < 0
      || !tar_cursor_take (pack->earlier, pack->first_path.bytes, pack->earlier_bytes, size))
    return false;
  sha256_state digest;
  SHA256_Init (&digest);
  SHA256_Update (&digest, pack->earlier_bytes, size);
  SHA256_Final (sum, &digest);
  if (memcmp (sum, pack->output.expected + row * SHA256_BYTES, SHA256_BYTES) != 0)
    return false;
  emit (pack, pack->earlier_bytes, size);
  return true;
}

int
emit_content (pack_job *pack, size_t row, char hex[2 * SHA256_BYTES + 1])
{
  static const char digits[] = "0123456789abcdef";
  uint8_t read_sum[SHA256_BYTES];
  const uint8_t *expected = pack->output.expected == NULL ? NULL : pack->output.expected + row * SHA256_BYTES;
  const uint8_t *sum = read_sum;
  if (expected != NULL && (emit_kept (pack, row) || emit_earlier (pack, row)))
    sum = expected;
  else if (emit_file (pack, row, read_sum) < 0)
    return -1;
  else if (expected != NULL && memcmp (sum, expected, SHA256_BYTES) != 0)
    {
      errno = ESTALE;
      return -1;
    }
  emit (pack, NULL, (BLOCK - (uint64_t) pack->rows.sizes[row] % BLOCK) % BLOCK);
  for (int i = 0; i < SHA256_BYTES; i++)
    {
      hex[2 * i] = digits[sum[i] >> 4];
      hex[2 * i + 1] = digits[sum[i] & 15];
    }
  hex[2 * SHA256_BYTES] = '\0';
  return 0;
}
