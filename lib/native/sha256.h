/* SHA-256 of the running Node: its OpenSSL is exported to addons, and uses
 * the processor's instructions for it. */
#ifndef KILN_SHA256_H
#define KILN_SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SHA256_BYTES = 32 };

/* OpenSSL's SHA256_CTX is 112 bytes of 32-bit words, and part of its ABI. Room to spare. */
typedef struct
{
  uint64_t words[32];
} sha256_state;

int SHA256_Init (sha256_state *state);
int SHA256_Update (sha256_state *state, const void *bytes, size_t length);
int SHA256_Final (uint8_t *digest, sha256_state *state);

/* A digest stream with a thread of its own, one block behind the caller. */
typedef struct hash_stream hash_stream;

/* NULL without memory. */
hash_stream *hash_stream_open (size_t block_size);
/* The block to fill. */
uint8_t *hash_stream_block (hash_stream *stream);
/* Takes the first `used` bytes of the block; the next one to fill is another. */
void hash_stream_submit (hash_stream *stream, size_t used);
/* Closes the stream and returns the digest of everything submitted. `digest`
 * may be NULL. */
void hash_stream_close (hash_stream *stream, uint8_t *digest);

#endif
