/* Extended attributes as JavaScript sees them, see shown.c. */
#include "addon.h"

#define TAKE(name_variable, key_variable)                                                                              \
  arguments args = read_arguments (env, info);                                                                         \
  int dirfd = int_argument (&args, 0);                                                                                 \
  path_argument name_variable, key_variable;                                                                           \
  path_argument_read (&args, 1, &name_variable);                                                                       \
  path_argument_read (&args, 2, &key_variable);                                                                        \
  if (name_variable.error != 0 || key_variable.error != 0)                                                             \
    return number (env, -(name_variable.error != 0 ? name_variable.error : key_variable.error))

static napi_value
js_listxattr (napi_env env, napi_callback_info info)
{
  arguments args = read_arguments (env, info);
  path_argument name;
  path_argument_read (&args, 1, &name);
  if (name.error != 0)
    return number (env, -name.error);
  span out = bytes_argument (&args, 2);
  return outcome (env, shown_list (int_argument (&args, 0), name.bytes, (char *) out.bytes, out.length));
}

static napi_value
js_getxattr (napi_env env, napi_callback_info info)
{
  TAKE (name, key);
  span out = bytes_argument (&args, 3);
  return outcome (env, shown_get (dirfd, name.bytes, key.bytes, out.bytes, out.length));
}

static napi_value
js_setxattr (napi_env env, napi_callback_info info)
{
  TAKE (name, key);
  span data = bytes_argument (&args, 3);
  return outcome (env, xattr_set (dirfd, name.bytes, kept_name (key.bytes), data.bytes, data.length));
}

static napi_value
js_removexattr (napi_env env, napi_callback_info info)
{
  TAKE (name, key);
  return outcome (env, xattr_remove (dirfd, name.bytes, kept_name (key.bytes)));
}

const exported attribute_functions[] = {
  { "listxattr", js_listxattr },     { "getxattr", js_getxattr }, { "setxattr", js_setxattr },
  { "removexattr", js_removexattr }, { NULL, NULL },
};
