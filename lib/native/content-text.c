/* Digests a layer's content: everything that a container can see of its
 * files. It is the sha256 of the format's name and one text per member, in
 * the order of a scan (directories first, names in byte order).
 * docs/results.md says which times count: for a command's layer all except
 * those within the command's own run, for other layers none.
 *
 * A member's text: type, numbers and time, a space, the sha256 of the file's
 * bytes in hex (empty for other types), then path, link target and count of
 * attributes, and each attribute with its length. Every part ends in a NUL,
 * which names cannot hold; numbers before it are decimal; attribute values
 * carry their length. */
#include "tar-member.h"

#include <stdio.h>

/* The format's name. Raise it when the meaning of a digest changes, so that
 * stored ones never match. */
static const char format[] = "content/2\n";

void
begin_content (sha256_state *content)
{
  SHA256_Init (content);
  SHA256_Update (content, format, strlen (format));
}

static void
put_attribute (sha256_state *content, const attribute *of)
{
  char length[24];
  int used = snprintf (length, sizeof length, "%zu", of->value.length);
  SHA256_Update (content, of->name.at, of->name.length);
  SHA256_Update (content, "", 1);
  SHA256_Update (content, length, (size_t) used + 1);
  SHA256_Update (content, of->value.at, of->value.length);
}

void
put_content_text (sha256_state *content, const member *of, const char *time, const char *hex)
{
  char numbers[256], count[24];
  size_t counted = 0, path_length = of->path.length - (of->flag == '5' ? 1 : 0);
  for (size_t i = 0; i < of->attribute_count; i++)
    counted += of->attributes[i].is_content ? 1 : 0;
  /* A symlink's own permissions mean nothing. */
  int used = snprintf (numbers, sizeof numbers, "%s %u %u %u %llu %u %u %s %s", of->kind, of->flag == '2' ? 0777 : of->mode,
                       of->uid, of->gid, (unsigned long long) of->size, of->major, of->minor, time, hex);
  SHA256_Update (content, numbers, (size_t) used + 1);
  SHA256_Update (content, of->path.at, path_length);
  SHA256_Update (content, "", 1);
  SHA256_Update (content, of->link.at, of->link.length);
  SHA256_Update (content, "", 1);
  SHA256_Update (content, count, (size_t) snprintf (count, sizeof count, "%zu", counted) + 1);
  for (size_t i = 0; i < of->attribute_count; i++)
    if (of->attributes[i].is_content)
      put_attribute (content, &of->attributes[i]);
}
