#include "addon.h"

#include "sha256.h"

/* sha256.h depends on functions and a structure of the running Node's
 * OpenSSL: one known digest proves that they fit. FIPS 180-2, B.1. */
static bool
knows_sha256 (void)
{
  static const uint8_t expected[SHA256_BYTES] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
                                                  0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
                                                  0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad };
  sha256_state state;
  uint8_t digest[SHA256_BYTES];
  SHA256_Init (&state);
  SHA256_Update (&state, "abc", 3);
  SHA256_Final (digest, &state);
  return memcmp (digest, expected, sizeof digest) == 0;
}

static napi_value
init (napi_env env, napi_value exports)
{
  if (!knows_sha256 ())
    {
      napi_throw_error (env, NULL, "the SHA-256 of this Node is not the one that kiln's addon was built for");
      return NULL;
    }
  const exported *tables[] = { at_functions,   attribute_functions, content_functions,
                               scan_functions, batch_functions, remove_functions, owner_functions, pack_functions,
                               link_functions,  digest_functions, known_functions, gunzip_functions };
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
