/* Extended attributes as JavaScript sees them: without the one that holds an owner which is written down. */
#include "addon.h"

#include "owner-record.h"

#define TAKE(name_variable, key_variable)                                                                              \
  arguments args = read_arguments (env, info);                                                                         \
  int dirfd = int_argument (&args, 0);                                                                                 \
  path_argument name_variable, key_variable;                                                                           \
  path_argument_read (&args, 1, &name_variable);                                                                       \
  path_argument_read (&args, 2, &key_variable);                                                                        \
  if (name_variable.error != 0 || key_variable.error != 0)                                                             \
    return number (env, -(name_variable.error != 0 ? name_variable.error : key_variable.error))

/* An owner is told by statat and set by fchownat: as an attribute it is not to be seen, copied or packed. */
static ssize_t
without_owner (char *names, ssize_t size)
{
  ssize_t kept = 0;
  for (ssize_t at = 0; at < size;)
    {
      size_t length = strlen (names + at) + 1;
      if (strcmp (names + at, OWNER_ATTRIBUTE) != 0)
        {
          memmove (names + kept, names + at, length);
          kept += (ssize_t) length;
        }
      at += (ssize_t) length;
    }
  return kept;
}

static napi_value
js_listxattr (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  path_argument name;
  path_argument_read (&args, 1, &name);
  if (name.error != 0)
    return number (env, -name.error);
  span out = bytes_argument (&args, 2);
  ssize_t size = xattr_list (int_argument (&args, 0), name.bytes, (char *) out.bytes, out.length);
  return outcome (env, size > 0 && owners_are_kept () ? without_owner ((char *) out.bytes, size) : size);
}

static napi_value
js_getxattr (napi_env env, napi_callback_info info)
{
  TAKE (name, key);
  span out = bytes_argument (&args, 3);
  return outcome (env, xattr_get (dirfd, name.bytes, key.bytes, out.bytes, out.length));
}

static napi_value
js_setxattr (napi_env env, napi_callback_info info)
{
  TAKE (name, key);
  span data = bytes_argument (&args, 3);
  return outcome (env, xattr_set (dirfd, name.bytes, key.bytes, data.bytes, data.length));
}

static napi_value
js_removexattr (napi_env env, napi_callback_info info)
{
  TAKE (name, key);
  return outcome (env, xattr_remove (dirfd, name.bytes, key.bytes));
}

const exported attribute_functions[] = {
  { "listxattr", js_listxattr },     { "getxattr", js_getxattr }, { "setxattr", js_setxattr },
  { "removexattr", js_removexattr }, { NULL, NULL },
};
