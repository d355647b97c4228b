#include "addon.h"

static napi_value
init (napi_env env, napi_value exports)
{
  const exported *tables[] = { at_functions,   attribute_functions, content_functions,
                               scan_functions, batch_functions, remove_functions, owner_functions, pack_functions,
                               link_functions,  digest_functions, known_functions };
  for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++)
    for (const exported *entry = tables[t]; entry->name != NULL; entry++)
      {
        napi_value function;
        napi_create_function (env, entry->name, NAPI_AUTO_LENGTH, entry->function, NULL, &function);
        napi_set_named_property (env, exports, entry->name, function);
      }
  return exports;
}

NAPI_MODULE (kiln, init)
