/* Makes the members of a layer's tar from the rows of a scanned directory in
 * overlay form. The order is the scan's; each opaque mark follows its
 * directory. */
#include "pack.h"


#include <search.h>
#include <stdio.h>

/* Prefix of a name that marks the deletion of lower layers' files. OCI
 * image-spec, layer.md. */
static const char whiteout_prefix[] = ".wh.", opaque_name[] = ".wh..wh..opq";

size_t
name_start (const uint32_t *ends, size_t row)
{
  return row == 0 ? 0 : ends[row - 1];
}

static text
name_of (const pack_rows *rows, size_t row)
{
  size_t start = name_start (rows->name_ends, row);
  return (text){ (const char *) rows->names + start, rows->name_ends[row] - start };
}

ssize_t
path_of (const pack_rows *rows, size_t row, arena *out)
{
  size_t length = 0;
  for (size_t i = row; i > 0; i = (size_t) rows->parents[i])
    length += name_of (rows, i).length + (rows->parents[i] > 0 ? 1 : 0);
  out->used = 0;
  /* Room for the slash of a directory too. */
  char *at = arena_room (out, length + 2);
  if (at == NULL)
    return -1;
  at += length;
  *at = '\0';
  for (size_t i = row; i > 0; i = (size_t) rows->parents[i])
    {
      text name = name_of (rows, i);
      if (i != row)
        *--at = '/';
      at -= name.length;
      memcpy (at, name.at, name.length);
    }
  out->used = length;
  return (ssize_t) length;
}

/* --- Attributes. --- */

static bool
begins (const char *name, const char *with)
{
  return strncmp (name, with, strlen (with)) == 0;
}

static bool
is_mark (const char *name)
{
  return begins (name, "trusted.overlay.") || begins (name, "user.overlay.");
}

/* Tells whether an attribute is content: one that a command may set and a
 * later one may see. Labels of the host's policy are not. */
static bool
is_content (const char *name)
{
  if (strcmp (name, "security.capability") == 0 || begins (name, "system.posix_acl_"))
    return true;
  return !begins (name, "security.") && !begins (name, "system.");
}

/* Marks of the overlay file system on a directory. */
typedef struct
{
  bool is_whiteout, is_opaque;
} found_marks;

static int
by_name (const void *left, const void *right)
{
  text a = ((const attribute *) left)->name, b = ((const attribute *) right)->name;
  return strcmp (a.at, b.at);
}

static void
note_mark (const pack_job *pack, const char *name, text value, found_marks *marks)
{
  if (!begins (name, pack->marks))
    return;
  const char *rest = name + strlen (pack->marks);
  if (strcmp (rest, "whiteout") == 0)
    marks->is_whiteout = true;
  /* "y" hides all lower entries. "x" only says that whiteouts in here are attributes, Linux 6.7. */
  if (strcmp (rest, "opaque") == 0)
    marks->is_opaque = value.length == 1 && value.at[0] == 'y';
}

/* Reads one value after the earlier ones. 0 where the file no longer has the
 * attribute. */
static int
read_value (pack_job *pack, int folder, const char *file, const char *key, size_t *length)
{
  enum { MAX_VALUE = 1 << 16 }; /* XATTR_SIZE_MAX */
  char *at = arena_room (&pack->attribute_values, MAX_VALUE);
  if (at == NULL)
    return -1;
  ssize_t size = shown_get (folder, file, key, at, MAX_VALUE);
  if (size < 0)
    return errno == ENODATA || errno == EOPNOTSUPP || errno == ERANGE ? 0 : -1;
  *length = (size_t) size;
  pack->attribute_values.used += *length;
  return 1;
}

/* Lists the attributes of a row's file that belong in a layer or digest,
 * without marks and our own records: names in one arena, values in another,
 * and a third with the list of both. */
static int
list_attributes (pack_job *pack, int folder, const char *file, ssize_t size, found_marks *marks)
{
  const char *names = pack->attribute_names.bytes;
  for (ssize_t at = 0; at < size; at += (ssize_t) strlen (names + at) + 1)
    {
      const char *name = shown_name (names + at);
      size_t start = pack->attribute_values.used, length = 0;
      int found = name == NULL ? 0 : read_value (pack, folder, file, name, &length);
      if (found < 0)
        return -1;
      if (found == 0)
        continue;
      note_mark (pack, name, (text){ pack->attribute_values.bytes + start, length }, marks);
      if (is_mark (name))
        {
          pack->attribute_values.used = start;
          continue;
        }
      attribute item = {
        .name = { name, strlen (name) },
        .value = { "", length },
        .is_kept = strcmp (name, "security.capability") == 0 || (pack->keeps_user_attributes && begins (name, "user.")),
        .is_content = is_content (name),
      };
      if (arena_add (&pack->attribute_list, (const char *) &item, sizeof item) == NULL)
        return -1;
    }
  return 0;
}

/* Reads the attributes of a row's file, sorted by their names. */
static int
read_attributes (pack_job *pack, size_t row, found_marks *marks, member *into)
{
  enum { MAX_NAMES = 1 << 16 }; /* XATTR_LIST_MAX */
  char file[MAX_PATH];
  int folder = place_of (pack, row, file);
  pack->attribute_names.used = pack->attribute_values.used = pack->attribute_list.used = 0;
  char *names = arena_room (&pack->attribute_names, MAX_NAMES);
  if (folder < 0 || names == NULL)
    return -1;
  ssize_t size = xattr_list (folder, file, names, MAX_NAMES);
  if (size < 0 && errno != EOPNOTSUPP)
    return -1;
  if (list_attributes (pack, folder, file, size, marks) < 0)
    return -1;
  attribute *list = (void *) pack->attribute_list.bytes;
  into->attribute_count = pack->attribute_list.used / sizeof *list;
  const char *value = pack->attribute_values.bytes;
  for (size_t i = 0; i < into->attribute_count; value += list[i++].value.length)
    list[i].value.at = value;
  if (into->attribute_count > 1)
    qsort (list, into->attribute_count, sizeof *list, by_name);
  into->attributes = list;
  return 0;
}

/* --- Files with several names. --- */

/* A file's first name. By device too: a layer's directory is one file
 * system, but nothing here depends on that. */
struct first_name
{
  double device;
  uint64_t inode;
  size_t row;
};

static int
by_file (const void *left, const void *right)
{
  const struct first_name *a = left, *b = right;
  if (a->device != b->device)
    return a->device < b->device ? -1 : 1;
  return a->inode < b->inode ? -1 : a->inode > b->inode ? 1 : 0;
}

/* Finds the row of a file's first name in this tree: itself for the first.
 * Names in other snapshots do not concern this layer. -1 without memory. */
static ssize_t
first_row (pack_job *pack, size_t row)
{
  const pack_rows *rows = &pack->rows;
  if (S_ISDIR (rows->modes[row]) || rows->nlinks[row] <= 1)
    return (ssize_t) row;
  if (pack->first_list == NULL)
    pack->first_list = malloc (rows->count * sizeof *pack->first_list);
  if (pack->first_list == NULL)
    return -1;
  struct first_name *added = &pack->first_list[pack->first_count];
  *added = (struct first_name){ rows->devices[row], rows->inodes[row], row };
  struct first_name **found = tsearch (added, &pack->first_names, by_file);
  if (found == NULL)
    return -1;
  pack->first_count += *found == added ? 1 : 0;
  return (ssize_t) (*found)->row;
}

/* The tree's items are those of a list. */
static void
keep_item (void *item)
{
  (void) item;
}

void
forget_members (pack_job *pack)
{
  tdestroy (pack->first_names, keep_item);
  free (pack->first_list);
  arena *all[] = { &pack->path, &pack->first_path, &pack->header, &pack->attribute_names, &pack->attribute_values, &pack->attribute_list };
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
    free (all[i]->bytes);
}

/* --- Times. --- */

static int64_t
seconds_of (const pack_job *pack, int64_t ns)
{
  int64_t seconds = ns / 1000000000 - (ns % 1000000000 < 0 ? 1 : 0);
  return seconds > pack->latest_seconds ? pack->latest_seconds : seconds;
}

/* Formats a member's time as it counts in the content digest. */
static void
put_time (const pack_job *pack, size_t row, char out[TIME_ROOM])
{
  int64_t mtime = pack->rows.mtimes[row];
  bool is_counted = pack->run_numbers > 0 && pack->runs[0] != 0;
  for (size_t i = 1; is_counted && i + 1 < pack->run_numbers; i += 2)
    if (mtime >= pack->runs[i] && mtime <= pack->runs[i + 1])
      {
        memcpy (out, "now", 4);
        return;
      }
  if (is_counted)
    (void) snprintf (out, TIME_ROOM, "%lld", (long long) mtime);
  else
    memcpy (out, "-", 2);
}

/* --- Members. --- */

static int
emit_member (pack_job *pack, size_t row, const member *of, const char *time, bool has_content)
{
  char hex[2 * SHA256_BYTES + 1] = "";
  pack->header.used = 0;
  if (!put_header (&pack->header, of))
    return -1;
  emit (pack, pack->header.bytes, pack->header.used);
  if (has_content && emit_content (pack, row, hex) < 0)
    return -1;
  if (pack->counts_content)
    put_content_text (&pack->content, of, time, hex);
  pack->members += 1;
  return 0;
}

/* Emits a whiteout: an empty file of mode 0 with the epoch's time, as in
 * containerd. */
static int
emit_mark (pack_job *pack, size_t row, const char *kind, text path)
{
  member mark = { .kind = kind, .flag = '0', .path = path, .seconds = seconds_of (pack, 0), .link = { "", 0 } };
  return emit_member (pack, row, &mark, "-", false);
}

/* Emits the deletion of the row's path in lower layers. */
static int
emit_whiteout (pack_job *pack, size_t row)
{
  text name = name_of (&pack->rows, row);
  ssize_t length = path_of (&pack->rows, row, &pack->path);
  if (length < 0)
    return -1;
  pack->path.used = (size_t) length - name.length;
  if (arena_add (&pack->path, whiteout_prefix, strlen (whiteout_prefix)) == NULL || arena_add (&pack->path, name.at, name.length) == NULL)
    return -1;
  return emit_mark (pack, row, "whiteout", (text){ pack->path.bytes, pack->path.used });
}

/* Emits the deletion of everything in the row's directory in lower layers. */
static int
emit_opaque (pack_job *pack, size_t row)
{
  ssize_t length = path_of (&pack->rows, row, &pack->path);
  if (length < 0)
    return -1;
  if ((length > 0 && arena_add (&pack->path, "/", 1) == NULL) || arena_add (&pack->path, opaque_name, strlen (opaque_name)) == NULL)
    return -1;
  return emit_mark (pack, row, "opaque", (text){ pack->path.bytes, pack->path.used });
}

typedef struct
{
  mode_t type;
  const char *kind;
  char flag; /* 0: no tar holds it */
} file_kind;

static const file_kind *
kind_of (uint32_t mode)
{
  static const file_kind kinds[] = {
    { S_IFREG, "file", '0' },  { S_IFDIR, "directory", '5' }, { S_IFLNK, "symlink", '2' },  { S_IFCHR, "char", '3' },
    { S_IFBLK, "block", '4' }, { S_IFIFO, "fifo", '6' },      { S_IFSOCK, "socket", '\0' },
  };
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
    if (kinds[i].type == (mode & S_IFMT))
      return &kinds[i];
  return NULL;
}

static int
set_path (pack_job *pack, size_t row, member *into)
{
  ssize_t length = path_of (&pack->rows, row, &pack->path);
  if (length < 0)
    return -1;
  if (into->flag == '5')
    pack->path.bytes[length++] = '/';
  into->path = (text){ pack->path.bytes, (size_t) length };
  return 0;
}

/* Finds the target of a symlink, or of a name that is not its file's first. */
static int
set_link (pack_job *pack, size_t row, member *into)
{
  ssize_t first = first_row (pack, row);
  if (first < 0)
    return -1;
  if ((size_t) first != row)
    {
      ssize_t length = path_of (&pack->rows, (size_t) first, &pack->first_path);
      if (length < 0)
        return -1;
      into->kind = "link";
      into->flag = '1';
      into->link = (text){ pack->first_path.bytes, (size_t) length };
    }
  else if (into->flag == '2')
    {
      size_t start = name_start (pack->rows.link_ends, row);
      into->link = (text){ (const char *) pack->rows.links + start, pack->rows.link_ends[row] - start };
    }
  return 0;
}

/* Emits a file, directory, link or device under its own name. */
static int
emit_file_row (pack_job *pack, size_t row, member *of)
{
  const pack_rows *rows = &pack->rows;
  bool is_device = of->flag == '3' || of->flag == '4';
  of->mode = rows->modes[row] & 07777;
  of->uid = rows->uids[row];
  of->gid = rows->gids[row];
  of->seconds = seconds_of (pack, rows->mtimes[row]);
  of->major = is_device ? rows->majors[row] : 0;
  of->minor = is_device ? rows->minors[row] : 0;
  if ((of->flag != '\0' && set_link (pack, row, of) < 0) || set_path (pack, row, of) < 0)
    return -1;
  of->size = of->flag == '0' ? (uint64_t) rows->sizes[row] : 0;
  char time[TIME_ROOM];
  put_time (pack, row, time);
  if (of->flag != '\0')
    return emit_member (pack, row, of, time, of->size > 0);
  /* A later command sees the socket, so it counts as content. */
  if (pack->counts_content)
    put_content_text (&pack->content, of, time, "");
  return 0;
}

int
emit_row (pack_job *pack, size_t row)
{
  const pack_rows *rows = &pack->rows;
  const file_kind *kind = kind_of (rows->modes[row]);
  if (kind == NULL)
    return 0;
  member of = { .kind = kind->kind, .flag = kind->flag, .link = { "", 0 } };
  found_marks marks = { false, false };
  if (kind->flag != '\0' && (rows->flags[row] & HAS_XATTRS) != 0 && read_attributes (pack, row, &marks, &of) < 0)
    return -1;
  bool is_gone = kind->flag == '3' && rows->majors[row] == 0 && rows->minors[row] == 0;
  if (is_gone || (kind->flag == '0' && marks.is_whiteout))
    return emit_whiteout (pack, row);
  /* The root has no member of its own but may be opaque. */
  if (row > 0 && emit_file_row (pack, row, &of) < 0)
    return -1;
  return kind->flag == '5' && marks.is_opaque ? emit_opaque (pack, row) : 0;
}
