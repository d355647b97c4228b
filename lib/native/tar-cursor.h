/* Contents out of a tar that this program wrote, in the order in which it wrote them. */
#ifndef KILN_TAR_CURSOR_H
#define KILN_TAR_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tar_cursor tar_cursor;

/* NULL without memory. The descriptor stays the caller's, and its position is not used. */
tar_cursor *tar_cursor_open (int fd);

/* The bytes of the regular file `path`, if the tar has one of just that size there. Paths must be asked for in the order of a
 * tree: a directory before what it holds, names in byte order. What is not found is no error, and bytes that are not whole
 * are not found; whether they are the right ones, only their digest says. */
bool tar_cursor_take (tar_cursor *cursor, const char *path, uint8_t *into, size_t size);

void tar_cursor_close (tar_cursor *cursor);

#endif
