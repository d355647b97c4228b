/* Passing bytes between the caller's standard streams and the command's: streams.c. */
#ifndef KILN_STREAMS_H
#define KILN_STREAMS_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

/* Bytes that were read from one descriptor and are to be written to another. Both are -1 when there is nothing more to do. */
struct stream
{
  int from, to;
  size_t first, size;
  char bytes[16 * 1024];
};

void open_stream (struct stream *stream, int from, int to);
struct pollfd wish_of (const struct stream *stream);
void pass_stream (struct stream *stream);
void finish_stream (struct stream *stream);
void end_stream (struct stream *stream);
bool output_is_shared (void);

#endif
