#include "addon.h"

#include <pthread.h>

arguments
read_arguments (napi_env env, napi_callback_info info)
{
  arguments args = { .env = env, .count = MAX_ARGS };
  napi_get_cb_info (env, info, &args.count, args.values, NULL, NULL);
  return args;
}

arguments
read_properties (napi_env env, napi_value object, const char *const names[], size_t count)
{
  arguments args = { .env = env, .count = count, .object = object };
  for (size_t i = 0; i < count; i++)
    napi_get_named_property (env, object, names[i], &args.values[i]);
  return args;
}

arguments
read_descriptor (napi_env env, napi_callback_info info, const char *const names[], size_t count)
{
  arguments args = read_arguments (env, info);
  return read_properties (env, args.values[0], names, count);
}

bool
has_argument (const arguments *args, size_t index)
{
  napi_valuetype type = napi_undefined;
  return napi_typeof (args->env, args->values[index], &type) == napi_ok && type != napi_undefined;
}

int
int_argument (const arguments *args, size_t index)
{
  int32_t value = -1;
  if (napi_get_value_int32 (args->env, args->values[index], &value) != napi_ok)
    napi_throw_type_error (args->env, NULL, "expected an integer");
  return value;
}

uint32_t
uint_argument (const arguments *args, size_t index)
{
  uint32_t value = 0;
  if (napi_get_value_uint32 (args->env, args->values[index], &value) != napi_ok)
    napi_throw_type_error (args->env, NULL, "expected an unsigned integer");
  return value;
}

int64_t
int64_argument (const arguments *args, size_t index)
{
  int64_t value = 0;
  bool lossless;
  if (napi_get_value_bigint_int64 (args->env, args->values[index], &value, &lossless) == napi_ok)
    return value;
  if (napi_get_value_int64 (args->env, args->values[index], &value) != napi_ok)
    napi_throw_type_error (args->env, NULL, "expected a number or a bigint");
  return value;
}

bool
bool_argument (const arguments *args, size_t index)
{
  bool value = false;
  napi_get_value_bool (args->env, args->values[index], &value);
  return value;
}

/* Turns UTF-16 into the bytes of a name. File names are bytes, not text: those that are not UTF-8 reach JavaScript with
 * each stray byte as a lone surrogate U+DC80 + (byte - 0x80), and go back the same way (Python's "surrogateescape",
 * PEP 383). Other lone surrogates have no byte form and become U+FFFD. Returns the length; `out` holds 3 per unit. */
static size_t
encode_name (const char16_t *text, size_t units, char *out)
{
  size_t at = 0;
  for (size_t i = 0; i < units; i++)
    {
      uint32_t c = text[i];
      if (c < 0x80)
        {
          out[at++] = (char) c;
          continue;
        }
      if (c >= 0xD800 && c < 0xDC00 && i + 1 < units && text[i + 1] >= 0xDC00 && text[i + 1] < 0xE000)
        {
          c = 0x10000 + ((c - 0xD800) << 10) + (text[++i] - 0xDC00u);
          out[at++] = (char) (0xF0 | (c >> 18));
          out[at++] = (char) (0x80 | ((c >> 12) & 0x3F));
          out[at++] = (char) (0x80 | ((c >> 6) & 0x3F));
          out[at++] = (char) (0x80 | (c & 0x3F));
          continue;
        }
      if (c >= 0xDC80 && c <= 0xDCFF)
        {
          out[at++] = (char) (c - 0xDC00);
          continue;
        }
      if (c >= 0xD800 && c < 0xE000)
        c = 0xFFFD;
      if (c < 0x800)
        out[at++] = (char) (0xC0 | (c >> 6));
      else
        {
          out[at++] = (char) (0xE0 | (c >> 12));
          out[at++] = (char) (0x80 | ((c >> 6) & 0x3F));
        }
      out[at++] = (char) (0x80 | (c & 0x3F));
    }
  return at;
}

void
path_argument_read (const arguments *args, size_t index, path_argument *out)
{
  char16_t text[MAX_PATH + 1];
  char encoded[3 * (MAX_PATH + 1)];
  size_t length = 0;
  const char *bytes = encoded;

  out->bytes[0] = '\0';
  if (napi_get_value_string_utf16 (args->env, args->values[index], text, MAX_PATH + 1, &length) == napi_ok)
    length = encode_name (text, length, encoded);
  else
    {
      span raw = bytes_argument (args, index);
      bytes = (const char *) raw.bytes;
      length = raw.length;
    }
  out->error = length >= MAX_PATH ? ENAMETOOLONG : length > 0 && memchr (bytes, 0, length) != NULL ? EINVAL : 0;
  if (out->error != 0 || length == 0)
    return;
  memcpy (out->bytes, bytes, length);
  out->bytes[length] = '\0';
}

span
bytes_argument (const arguments *args, size_t index)
{
  span out = { NULL, 0 };
  napi_typedarray_type type;
  void *data = NULL;
  size_t length = 0;
  if (napi_get_typedarray_info (args->env, args->values[index], &type, &length, &data, NULL, NULL) != napi_ok)
    {
      napi_throw_type_error (args->env, NULL, "expected a typed array");
      return out;
    }
  static const size_t widths[] = { 1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8 };
  out.bytes = data;
  out.length = length * ((size_t) type < sizeof widths / sizeof widths[0] ? widths[type] : 1);
  return out;
}

bool
names_argument (const arguments *args, size_t index, name_list *out)
{
  napi_env env = args->env;
  uint32_t count = 0;
  memset (out, 0, sizeof *out);
  if (napi_get_array_length (env, args->values[index], &count) != napi_ok)
    {
      napi_throw_type_error (env, NULL, "expected a list of names");
      return false;
    }
  size_t room = 64 * (size_t) count + 3 * (MAX_PATH + 1), used = 0;
  out->starts = malloc (((size_t) count + 1) * sizeof (size_t));
  out->bytes = malloc (room);
  if (out->starts == NULL || out->bytes == NULL)
    goto fail;
  for (uint32_t i = 0; i < count; i++)
    {
      char16_t text[MAX_PATH + 1];
      size_t units = 0;
      napi_handle_scope scope;
      napi_value item;
      napi_open_handle_scope (env, &scope);
      napi_status read = napi_get_element (env, args->values[index], i, &item);
      if (read == napi_ok)
        read = napi_get_value_string_utf16 (env, item, text, MAX_PATH + 1, &units);
      napi_close_handle_scope (env, scope);
      if (read != napi_ok)
        goto fail;
      if (room - used < 3 * units + 2)
        {
          room = 2 * room + 3 * units;
          char *grown = realloc (out->bytes, room);
          if (grown == NULL)
            goto fail;
          out->bytes = grown;
        }
      out->starts[i] = used;
      size_t length = encode_name (text, units, out->bytes + used);
      if (memchr (out->bytes + used, 0, length) != NULL)
        goto fail;
      used += length;
      out->bytes[used++] = '\0';
    }
  out->starts[count] = used;
  out->count = count;
  return true;

fail:
  names_free (out);
  napi_throw_type_error (env, NULL, "expected a list of names");
  return false;
}

void
names_free (name_list *list)
{
  free (list->bytes);
  free (list->starts);
  memset (list, 0, sizeof *list);
}

napi_value
number (napi_env env, int64_t value)
{
  napi_value result;
  napi_create_int64 (env, value, &result);
  return result;
}

napi_value
outcome (napi_env env, int64_t result)
{
  return number (env, result < 0 ? -errno : result);
}

void
job_hold (job *self, const arguments *descriptor)
{
  napi_create_reference (descriptor->env, descriptor->object, 1, &self->held);
}

void
job_release (napi_env env, job *self)
{
  if (self->held != NULL)
    napi_delete_reference (env, self->held);
  self->held = NULL;
}

static napi_value
job_end (napi_env env, job *self)
{
  napi_value result = self->finish (env, self);
  job_release (env, self);
  self->destroy (self);
  return result;
}

static void
job_execute (napi_env env, void *data)
{
  (void) env;
  job *self = data;
  self->run (self);
}

static void
job_complete (napi_env env, napi_status status, void *data)
{
  (void) status;
  job *self = data;
  napi_deferred deferred = self->deferred;
  napi_delete_async_work (env, self->work);
  napi_resolve_deferred (env, deferred, job_end (env, self));
}

static napi_value
start_on_pool (napi_env env, job *self, napi_value name)
{
  napi_value promise;
  napi_create_promise (env, &self->deferred, &promise);
  napi_create_async_work (env, NULL, name, job_execute, job_complete, self, &self->work);
  napi_queue_async_work (env, self->work);
  return promise;
}

static void *
job_thread (void *data)
{
  job *self = data;
  napi_threadsafe_function done = self->done;
  self->run (self);
  napi_call_threadsafe_function (done, self, napi_tsfn_blocking);
  napi_release_threadsafe_function (done, napi_tsfn_release);
  return NULL;
}

static void
job_thread_done (napi_env env, napi_value callback, void *context, void *data)
{
  (void) callback;
  (void) context;
  job *self = data;
  napi_deferred deferred = self->deferred;
  /* No environment: the process is ending and nothing waits any more. */
  if (env != NULL)
    napi_resolve_deferred (env, deferred, job_end (env, self));
}

static napi_value
start_on_thread (napi_env env, job *self, napi_value name)
{
  napi_value promise;
  napi_create_threadsafe_function (env, NULL, NULL, name, 1, 1, NULL, NULL, NULL, job_thread_done, &self->done);
  napi_create_promise (env, &self->deferred, &promise);
  pthread_t thread;
  pthread_attr_t attributes;
  pthread_attr_init (&attributes);
  pthread_attr_setdetachstate (&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize (&attributes, 1 << 19);
  napi_threadsafe_function done = self->done;
  napi_deferred deferred = self->deferred;
  int failed = pthread_create (&thread, &attributes, job_thread, self);
  pthread_attr_destroy (&attributes);
  if (failed != 0)
    {
      napi_release_threadsafe_function (done, napi_tsfn_abort);
      napi_resolve_deferred (env, deferred, number (env, -failed));
      job_release (env, self);
      self->destroy (self);
    }
  return promise;
}

napi_value
job_start (napi_env env, job *self, job_place place)
{
  napi_value name;
  if (place == JOB_NOW)
    {
      self->run (self);
      return job_end (env, self);
    }
  napi_create_string_utf8 (env, "kiln", NAPI_AUTO_LENGTH, &name);
  return place == JOB_THREAD ? start_on_thread (env, self, name) : start_on_pool (env, self, name);
}
