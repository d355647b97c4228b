/* The part of zlib that gunzip.c uses: the running Node has it, and exports it to addons. The structure has been the same since
 * 1995, and `inflateInit2_` refuses one of another size. */
#ifndef KILN_ZLIB_ABI_H
#define KILN_ZLIB_ABI_H

#include <stdint.h>

typedef struct
{
  uint8_t *next_in;
  unsigned avail_in;
  unsigned long total_in;
  uint8_t *next_out;
  unsigned avail_out;
  unsigned long total_out;
  const char *message;
  void *state;
  void *(*allocate) (void *, unsigned, unsigned);
  void (*release) (void *, void *);
  void *opaque;
  int data_type;
  unsigned long checksum;
  unsigned long reserved;
} z_stream;

enum { Z_OK = 0, Z_STREAM_END = 1, Z_MEM_ERROR = -4, Z_BUF_ERROR = -5, Z_NO_FLUSH = 0 };
/* The largest window, and 16 for gzip's header and trailer. */
enum { WITH_GZIP_HEADER = 15 + 16 };
/* Only the first digit counts. */
#define ZLIB_VERSION "1"

int inflateInit2_ (z_stream *stream, int window_bits, const char *version, int size);
int inflate (z_stream *stream, int flush);
int inflateReset (z_stream *stream);
int inflateEnd (z_stream *stream);

#endif
