/* The sink of a layer's tar: its bytes go through digests, and into a file or pipe if there is one. A full pipe blocks
 * the thread until it is read: such a job has a thread of its own. */
#include "pack.h"

static void
keep_block (pack_job *pack)
{
  for (size_t done = 0; done < pack->used && pack->error == 0;)
    {
      ssize_t put = write (pack->output.fd, pack->block + done, pack->used - done);
      if (put < 0 && errno != EINTR)
        {
          pack->error = errno;
          pack->is_output_error = true;
        }
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
