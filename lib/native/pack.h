/* A layer's tar in the making: what its parts share. */
#ifndef KILN_PACK_H
#define KILN_PACK_H

#include "addon.h"
#include "tar-cursor.h"
#include "tar-member.h"

enum { STREAM_BLOCK = 1 << 20 };

typedef struct
{
  int fd;                  /* -1: the tar goes nowhere */
  size_t strip;            /* bytes at the beginning of each path that the directory does not have */
  const uint8_t *expected; /* 32 bytes per row; NULL: whatever the files hold */
  int earlier_fd;          /* of a tar, or -1 */
  span kept;               /* bytes of files that were read when their digests were made */
  const double *kept_at;   /* where each row's are; -1 for nowhere */
} pack_output;

/* A scan's columns; the addon's scan.c makes them. */
typedef struct
{
  size_t count;
  const uint32_t *modes, *uids, *gids, *nlinks, *majors, *minors, *name_ends, *link_ends;
  const double *sizes, *devices;
  const uint64_t *inodes;
  const int64_t *mtimes;
  const int32_t *parents;
  const uint8_t *flags, *names, *links;
} pack_rows;

typedef struct
{
  job base;
  int dirfd;
  pack_rows rows;
  /* "trusted.overlay." or "user.overlay.": where the directory's marks are. */
  const char *marks;
  bool keeps_user_attributes;
  bool counts_content; /* whether anybody asks for the content digest */
  int64_t latest_seconds;
  /* Whether times count in the content digest, then pairs of times: one within a pair counts as "now". */
  const int64_t *runs;
  size_t run_numbers;
  const int32_t *is_cancelled;
  /* 32 bytes diffID, 32 bytes content digest, 64 bits size, 32 bits members, 32 bits row of a failure, and whether it was
   * the output's. */
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
  bool is_output_error;

  /* Of the member at hand. */
  arena path, first_path, header, attribute_names, attribute_values, attribute_list;
  /* Files that have several names: a list, and a tree of it. */
  struct first_name *first_list;
  size_t first_count;
  void *first_names;
} pack_job;

/* --- tar-sink.c: where the bytes of the tar go. --- */

/* Adds bytes to it, zeros for NULL. */
void emit (pack_job *pack, const void *bytes, size_t length);
/* Passes on the block that is full, or the last one. */
void emit_block (pack_job *pack);

/* --- layer-rows.c: which members a row of the scan gives. --- */

/* All members of a row: a directory may bring a mark. -1 with errno for what cannot be read. */
int emit_row (pack_job *pack, size_t row);
size_t name_start (const uint32_t *ends, size_t row);
/* The path of a row below the root, NUL-terminated; -1 without memory. */
ssize_t path_of (const pack_rows *rows, size_t row, arena *out);
void forget_members (pack_job *pack);

/* --- pack-content.c: where the bytes of files come from. --- */

void open_content (pack_job *pack);
void close_content (pack_job *pack);
/* Where a row's file is: a directory, which stays open until the next call, and the name in it. -1 with errno. */
int place_of (pack_job *pack, size_t row, char name[MAX_PATH]);
/* A file's bytes, and their digest in hex. ESTALE is a file that is another than expected. */
int emit_content (pack_job *pack, size_t row, char hex[2 * SHA256_BYTES + 1]);

#endif
