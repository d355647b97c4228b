#include "rows.h"

ssize_t
path_below (const row_tree *rows, int32_t row, int32_t top, char out[MAX_PATH])
{
  char *at = out + MAX_PATH;
  for (int32_t i = row; i > 0 && i != top; i = rows->parents[i])
    {
      size_t start = rows->name_ends[i - 1], length = rows->name_ends[i] - start;
      if ((size_t) (at - out) < length + 1)
        return -1;
      if (at != out + MAX_PATH)
        *--at = '/';
      at -= length;
      memcpy (at, rows->names + start, length);
    }
  size_t length = (size_t) (out + MAX_PATH - at);
  memmove (out, at, length);
  return (ssize_t) length;
}

bool
row_tree_argument (napi_env env, napi_value value, row_tree *out)
{
  enum { PARENT, NAME_END, NAMES };
  static const char *const properties[] = { [PARENT] = "parent", [NAME_END] = "nameEnd", [NAMES] = "names" };
  arguments columns = read_properties (env, value, properties, COUNT_OF (properties));
  span parents = bytes_argument (&columns, PARENT), ends = bytes_argument (&columns, NAME_END);
  span names = bytes_argument (&columns, NAMES);
  *out = (row_tree){
    .parents = (const int32_t *) (const void *) parents.bytes,
    .name_ends = (const uint32_t *) (const void *) ends.bytes,
    .names = names.bytes == NULL ? "" : (const char *) names.bytes,
    .count = parents.length / 4,
  };
  bool is_whole = out->count > 0 && ends.length / 4 >= out->count && out->name_ends[out->count - 1] <= names.length;
  for (size_t i = 1; is_whole && i < out->count; i++)
    is_whole = out->name_ends[i - 1] <= out->name_ends[i] && out->parents[i] >= 0 && (size_t) out->parents[i] < i;
  if (!is_whole)
    napi_throw_range_error (env, NULL, "rows that do not fit together");
  return is_whole;
}

const int32_t *
row_list_argument (const arguments *args, size_t index, const row_tree *of, size_t *count)
{
  static const int32_t none[1];
  span rows = bytes_argument (args, index);
  const int32_t *list = rows.bytes == NULL ? none : (const int32_t *) (const void *) rows.bytes;
  *count = rows.length / 4;
  for (size_t i = 0; i < *count; i++)
    if (list[i] < 0 || (size_t) list[i] >= of->count)
      {
        napi_throw_range_error (args->env, NULL, "no such row");
        return NULL;
      }
  return list;
}
