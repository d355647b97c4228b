/* One member of a layer's tar: what its header and the content digest's text are made of. */
#ifndef KILN_TAR_MEMBER_H
#define KILN_TAR_MEMBER_H

#include "arena.h"
#include "sha256.h"

#include <stdbool.h>
#include <stdint.h>

enum { BLOCK = 512 };

typedef struct
{
  const char *at;
  size_t length;
} text;

typedef struct
{
  text name, value;
  bool is_kept;    /* in the tar */
  bool is_content; /* in the content digest */
} attribute;

typedef struct
{
  const char *kind; /* the content digest's word for it */
  char flag;        /* the header's */
  text path;        /* a directory's ends in "/" */
  text link;        /* target of a symlink, or the first name of a file that has several */
  uint32_t mode, uid, gid, major, minor;
  uint64_t size;
  int64_t seconds;
  const attribute *attributes; /* in the order of their names' bytes */
  size_t attribute_count;
} member;

/* Adds the member's header blocks. False without memory. */
bool put_header (arena *out, const member *of);

enum { TIME_ROOM = 24 };

/* Adds the member's text to the content digest. `time` is how its time counts, `hex` the digest of its bytes, empty for what has none. */
void put_content_text (sha256_state *content, const member *of, const char *time, const char *hex);
/* Begins a content digest. */
void begin_content (sha256_state *content);

#endif
