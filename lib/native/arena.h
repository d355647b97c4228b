/* A growing block of bytes. */
#ifndef KILN_ARENA_H
#define KILN_ARENA_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef struct
{
  char *bytes;
  size_t used, room;
} arena;

/* Makes room for `length` more bytes and returns their address, or NULL
 * without memory. Earlier pointers may be stale afterwards. */
static inline char *
arena_room (arena *into, size_t length)
{
  if (into->bytes == NULL || into->room - into->used < length)
    {
      size_t room = 2 * into->room + length + 4096;
      char *grown = realloc (into->bytes, room);
      if (grown == NULL)
        return NULL;
      into->bytes = grown;
      into->room = room;
    }
  return into->bytes + into->used;
}

static inline char *
arena_add (arena *into, const char *bytes, size_t length)
{
  char *at = arena_room (into, length);
  if (at == NULL)
    return NULL;
  if (length > 0)
    memcpy (at, bytes, length);
  into->used += length;
  return at;
}

#endif
