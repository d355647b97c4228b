/* A layer's tar under construction: the state that its parts share. */
#ifndef KILN_PACK_H
#define KILN_PACK_H

#include "addon.h"
#include "tar-cursor.h"
#include "tar-member.h"

enum { STREAM_BLOCK = 1 << 20 };

typedef struct
{
  int fd;                  /* -1: the tar is discarded */
  size_t strip;            /* length of each path's prefix that the directory lacks */
  const uint8_t *expected; /* 32 bytes per row; NULL: any content */
  int earlier_fd;          /* descriptor of a tar, or -1 */
  span kept;               /* contents of files from the making of their digests */
  const double *kept_at;   /* offset of each row's; -1 for none */
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
  /* "trusted.overlay." or "user.overlay.": namespace of the directory's
   * marks. */
  const char *marks;
  bool keeps_user_attributes;
  bool counts_content; /* true when the content digest is needed */
  int64_t latest_seconds;
  /* A flag whether times count in the content digest, then pairs of times:
   * one within a pair counts as "now". */
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
  /* The last directory. */
  int folder;
  int32_t folder_row;
  int error;
  bool is_output_error;

  /* State of the current member. */
  arena path, first_path, header, attribute_names, attribute_values, attribute_list;
  /* Files that have several names: a list, and a tree of it. */
  struct first_name *first_list;
  size_t first_count;
  void *first_names;
} pack_job;

/* --- tar-sink.c: where the bytes of the tar go. --- */

/* Adds bytes to it, zeros for NULL. */
void emit (pack_job *pack, const void *bytes, size_t length);
/* Passes on the full block, or the last one. */
void emit_block (pack_job *pack);

/* --- layer-rows.c: which members a row of the scan gives. --- */

/* Emits all members of a row: a directory may bring a mark. -1 with errno
 * for an unreadable one. */
int emit_row (pack_job *pack, size_t row);
size_t name_start (const uint32_t *ends, size_t row);
/* The path of a row below the root, NUL-terminated; -1 without memory. */
ssize_t path_of (const pack_rows *rows, size_t row, arena *out);
void forget_members (pack_job *pack);

/* --- pack-content.c: where the bytes of files come from. --- */

void open_content (pack_job *pack);
void close_content (pack_job *pack);
/* Finds the place of a row's file: a directory, which stays open until the
 * next call, and the name in it. -1 with errno. */
int place_of (pack_job *pack, size_t row, char name[MAX_PATH]);
/* A file's bytes, and their digest in hex. ESTALE is a file that is another than expected. */
int emit_content (pack_job *pack, size_t row, char hex[2 * SHA256_BYTES + 1]);

#endif
