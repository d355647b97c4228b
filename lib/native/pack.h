/* A layer's tar in the making: what its parts share. */
#ifndef KILN_PACK_H
#define KILN_PACK_H

#include "addon.h"
#include "sha256.h"
#include "tar-cursor.h"

enum { BLOCK = 512, STREAM_BLOCK = 1 << 20 };

typedef struct
{
  int fd;                  /* -1: the tar goes nowhere, and the rest means nothing */
  size_t strip;            /* bytes at the beginning of each path that the directory does not have */
  const uint8_t *expected; /* 32 bytes per row */
  int earlier_fd;          /* of a tar, or -1 */
  span kept;               /* bytes of files that were read when their digests were made */
  const double *kept_at;   /* where each row's are; -1 for nowhere */
} pack_output;

typedef struct
{
  job base;
  int dirfd;
  size_t count;
  const uint32_t *modes, *uids, *gids, *name_ends, *link_ends;
  const double *sizes;
  const int64_t *mtimes;
  const int32_t *parents;
  const uint8_t *names, *links, *kinds;
  span script;
  size_t script_at;
  int64_t latest_seconds;
  /* Whether times count in the content digest, then pairs of times: one within a pair counts as "now". */
  const int64_t *runs;
  size_t run_numbers;
  const int32_t *is_cancelled;
  /* 32 bytes diffID, 32 bytes content digest, 64 bits size, 32 bits members, 32 bits row of a failure. */
  uint8_t *out;
  pack_output output;

  hash_stream *stream;
  uint8_t *block;
  size_t used;
  tar_cursor *earlier;
  uint8_t *earlier_bytes; /* room for one of its files */
  sha256_state content;
  uint64_t total;
  uint32_t members;
  /* The directory that was used last. */
  int folder;
  int32_t folder_row;
  int error;
} pack_job;

/* --- tar-sink.c: where the bytes of the tar go. --- */

/* Adds bytes to it, zeros for NULL. */
void emit (pack_job *pack, const void *bytes, size_t length);
/* Passes on the block that is full, or the last one. */
void emit_block (pack_job *pack);
size_t name_start (const uint32_t *ends, size_t row);
/* The path of a row below the root, NUL-terminated; its length, or -1 where it is too long for the kernel. */
ssize_t path_of (const pack_job *pack, int32_t row, char out[MAX_PATH]);

/* --- pack-content.c: where the bytes of files come from. --- */

void open_content (pack_job *pack);
void close_content (pack_job *pack);
/* A file's bytes, and their digest in hex. ESTALE is a file that is another than expected. */
int emit_content (pack_job *pack, size_t row, char hex[2 * SHA256_BYTES + 1]);

#endif
