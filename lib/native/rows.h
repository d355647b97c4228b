/* Rows of a scan, passed back by JavaScript: the places of their files. */
#ifndef KILN_ROWS_H
#define KILN_ROWS_H

#include "addon.h"

typedef struct
{
  const int32_t *parents;
  const uint32_t *name_ends;
  const char *names;
  size_t count;
} row_tree;

/* The columns of a scan; false with an exception pending. Afterwards every row's path can be made. */
bool row_tree_argument (napi_env env, napi_value value, row_tree *out);

/* The rows asked for: each must be one of the tree's. NULL with an exception pending. */
const int32_t *row_list_argument (const arguments *args, size_t index, const row_tree *of, size_t *count);

/* The path of a row below the row `top`, without a NUL; its length, or -1 where it is too long for the kernel. */
ssize_t path_below (const row_tree *rows, int32_t row, int32_t top, char out[MAX_PATH]);

#endif
