/* A pair of blocks: while the caller fills one, a thread digests the other.
 * A stream that fits into one block has no thread. */
#include "sha256.h"

#include "old-glibc.h"

#include <pthread.h>
#include <stdlib.h>

struct hash_stream
{
  sha256_state state;
  size_t block_size;
  uint8_t *blocks[2];
  int filling; /* index of the caller's block */
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  pthread_t thread;
  bool has_thread;
  /* Fields guarded by the mutex: */
  const uint8_t *waiting; /* block to digest; NULL when it is done */
  size_t waiting_bytes;
  bool ended;
};

hash_stream *
hash_stream_open (size_t block_size)
{
  hash_stream *stream = calloc (1, sizeof *stream);
  if (stream == NULL)
    return NULL;
  stream->block_size = block_size;
  stream->blocks[0] = malloc (2 * block_size);
  if (stream->blocks[0] == NULL)
    {
      free (stream);
      return NULL;
    }
  stream->blocks[1] = stream->blocks[0] + block_size;
  pthread_mutex_init (&stream->mutex, NULL);
  pthread_cond_init (&stream->changed, NULL);
  SHA256_Init (&stream->state);
  return stream;
}

uint8_t *
hash_stream_block (hash_stream *stream)
{
  return stream->blocks[stream->filling];
}

static void *
hash_blocks (void *data)
{
  hash_stream *stream = data;
  pthread_mutex_lock (&stream->mutex);
  for (;;)
    {
      while (stream->waiting == NULL && !stream->ended)
        pthread_cond_wait (&stream->changed, &stream->mutex);
      if (stream->waiting == NULL)
        break;
      pthread_mutex_unlock (&stream->mutex);
      SHA256_Update (&stream->state, stream->waiting, stream->waiting_bytes);
      pthread_mutex_lock (&stream->mutex);
      stream->waiting = NULL;
      pthread_cond_signal (&stream->changed);
    }
  pthread_mutex_unlock (&stream->mutex);
  return NULL;
}

void
hash_stream_submit (hash_stream *stream, size_t used)
{
  if (used == 0)
    return;
  if (!stream->has_thread && used == stream->block_size)
    stream->has_thread = pthread_create (&stream->thread, NULL, hash_blocks, stream) == 0;
  if (!stream->has_thread)
    {
      SHA256_Update (&stream->state, stream->blocks[stream->filling], used);
      return;
    }
  pthread_mutex_lock (&stream->mutex);
  while (stream->waiting != NULL)
    pthread_cond_wait (&stream->changed, &stream->mutex);
  stream->waiting = stream->blocks[stream->filling];
  stream->waiting_bytes = used;
  pthread_cond_signal (&stream->changed);
  pthread_mutex_unlock (&stream->mutex);
  stream->filling = 1 - stream->filling;
}

void
hash_stream_close (hash_stream *stream, uint8_t *digest)
{
  if (stream->has_thread)
    {
      pthread_mutex_lock (&stream->mutex);
      stream->ended = true;
      pthread_cond_signal (&stream->changed);
      pthread_mutex_unlock (&stream->mutex);
      pthread_join (stream->thread, NULL);
    }
  if (digest != NULL)
    SHA256_Final (digest, &stream->state);
  pthread_mutex_destroy (&stream->mutex);
  pthread_cond_destroy (&stream->changed);
  free (stream->blocks[0]);
  free (stream);
}
