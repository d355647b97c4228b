/* A tar read from beginning to end for expected members. */
#define _GNU_SOURCE
#include "tar-cursor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 512, BUFFER = 1 << 18, NAME_BYTES = 100, PREFIX_AT = 345, PREFIX_BYTES = 155 };

struct tar_cursor
{
  int fd;
  uint8_t *buffer;
  uint64_t buffer_at;
  size_t buffered;
  /* The member at hand, and where the one behind it begins. */
  bool has_member, at_end;
  char path[PREFIX_BYTES + 1 + NAME_BYTES + 1];
  bool is_file;
  uint64_t size, content_at, next_at;
};

tar_cursor *
tar_cursor_open (int fd)
{
  tar_cursor *cursor = calloc (1, sizeof *cursor);
  if (cursor == NULL)
    return NULL;
  cursor->fd = fd;
  cursor->buffer = malloc (BUFFER);
  if (cursor->buffer != NULL)
    return cursor;
  free (cursor);
  return NULL;
}

void
tar_cursor_close (tar_cursor *cursor)
{
  if (cursor != NULL)
    free (cursor->buffer);
  free (cursor);
}

static size_t
read_at (int fd, uint8_t *into, size_t length, uint64_t at)
{
  size_t done = 0;
  while (done < length)
    {
      ssize_t got = pread (fd, into + done, length - done, (off_t) (at + done));
      if (got < 0 && errno == EINTR)
        continue;
      if (got <= 0)
        break;
      done += (size_t) got;
    }
  return done;
}

/* Members lie close together: most of what is wanted is in the buffer already. */
static bool
fetch (tar_cursor *cursor, uint8_t *into, size_t length, uint64_t at)
{
  if (length > BUFFER)
    return read_at (cursor->fd, into, length, at) == length;
  if (at < cursor->buffer_at || at + length > cursor->buffer_at + cursor->buffered)
    {
      cursor->buffer_at = at;
      cursor->buffered = read_at (cursor->fd, cursor->buffer, BUFFER, at);
      if (cursor->buffered < length)
        return false;
    }
  memcpy (into, cursor->buffer + (at - cursor->buffer_at), length);
  return true;
}

/* An octal field of a header; -1 for anything else, such as the base-256 of sizes above 8 GiB. */
static int64_t
octal (const uint8_t *field, size_t width)
{
  int64_t value = 0;
  for (size_t i = 0; i < width && field[i] != '\0' && field[i] != ' '; i++)
    {
      if (field[i] < '0' || field[i] > '7')
        return -1;
      value = 8 * value + (field[i] - '0');
    }
  return value;
}

/* Steps to the next member. One with an extended header has its true name there: it is passed over with it. */
static bool
advance (tar_cursor *cursor)
{
  uint8_t header[BLOCK];
  bool is_extended = false;
  while (!cursor->at_end)
    {
      uint64_t at = cursor->next_at;
      int64_t size = -1;
      if (fetch (cursor, header, BLOCK, at) && header[0] != '\0' && memcmp (header + 257, "ustar", 6) == 0)
        size = octal (header + 124, 12);
      if (size < 0)
        {
          cursor->at_end = true;
          break;
        }
      cursor->content_at = at + BLOCK;
      cursor->next_at = cursor->content_at + ((uint64_t) size + BLOCK - 1) / BLOCK * BLOCK;
      cursor->size = (uint64_t) size;
      char type = (char) header[156];
      bool was_extended = is_extended;
      is_extended = type == 'x' || type == 'g';
      if (is_extended || was_extended)
        continue;
      size_t length = strnlen ((char *) header + PREFIX_AT, PREFIX_BYTES);
      memcpy (cursor->path, header + PREFIX_AT, length);
      if (length > 0)
        cursor->path[length++] = '/';
      size_t name = strnlen ((char *) header, NAME_BYTES);
      memcpy (cursor->path + length, header, name);
      length += name;
      if (cursor->path[length - 1] == '/')
        length -= 1;
      cursor->path[length] = '\0';
      cursor->is_file = type == '0';
      return true;
    }
  return false;
}

/* The end of a path comes before a '/', and that before every other byte: then a directory comes before what it holds, and
 * that before whatever has a longer name. */
static int
rank (char c)
{
  return c == '\0' ? 0 : c == '/' ? 1 : (uint8_t) c + 2;
}

static int
in_order (const char *left, const char *right)
{
  while (*left == *right && *left != '\0')
    left++, right++;
  return rank (*left) - rank (*right);
}

bool
tar_cursor_take (tar_cursor *cursor, const char *path, uint8_t *into, size_t size)
{
  int order;
  do
    {
      if (!cursor->has_member)
        cursor->has_member = advance (cursor);
      if (!cursor->has_member)
        return false;
      order = in_order (cursor->path, path);
      if (order < 0)
        cursor->has_member = false;
    }
  while (order < 0);
  return order == 0 && cursor->is_file && cursor->size == size && fetch (cursor, into, size, cursor->content_at);
}
