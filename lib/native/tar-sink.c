/* Where the bytes of a layer's tar go: through digests, and into a file if there is one. */
#include "pack.h"

static void
keep_block (pack_job *pack)
{
  for (size_t done = 0; done < pack->used && pack->error == 0;)
    {
      ssize_t put = write (pack->output.fd, pack->block + done, pack->used - done);
      if (put < 0 && errno != EINTR)
        pack->error = errno;
      if (put > 0)
        done += (size_t) put;
    }
}

void
emit_block (pack_job *pack)
{
  if (pack->output.fd >= 0)
    keep_block (pack);
  hash_stream_submit (pack->stream, pack->used);
  pack->block = hash_stream_block (pack->stream);
  pack->total += pack->used;
  pack->used = 0;
}

void
emit (pack_job *pack, const void *bytes, size_t length)
{
  const uint8_t *from = bytes;
  while (length > 0)
    {
      size_t room = STREAM_BLOCK - pack->used, part = length < room ? length : room;
      if (from == NULL)
        memset (pack->block + pack->used, 0, part);
      else
        {
          memcpy (pack->block + pack->used, from, part);
          from += part;
        }
      pack->used += part;
      length -= part;
      if (pack->used == STREAM_BLOCK)
        emit_block (pack);
    }
}

size_t
name_start (const uint32_t *ends, size_t row)
{
  return row == 0 ? 0 : ends[row - 1];
}

ssize_t
path_of (const pack_job *pack, int32_t row, char out[MAX_PATH])
{
  char *at = out + MAX_PATH - 1;
  *at = '\0';
  for (int32_t i = row; i > 0; i = pack->parents[i])
    {
      size_t start = name_start (pack->name_ends, (size_t) i), length = pack->name_ends[i] - start;
      if ((size_t) (at - out) < length + 1)
        return -1;
      if (*at != '\0')
        *--at = '/';
      at -= length;
      memcpy (at, pack->names + start, length);
    }
  size_t length = (size_t) (out + MAX_PATH - 1 - at);
  memmove (out, at, length + 1);
  return (ssize_t) length;
}
