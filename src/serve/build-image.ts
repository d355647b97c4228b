import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { familiarReference, parseReference } from "../../lib/core/reference.ts";
import { build } from "../engine/build.ts";
import { withAccounts } from "./accounts.ts";
import { buildQuery } from "./build-query.ts";
import { bodyOf, type Call } from "./call.ts";
import { ClassicStream } from "./classic-stream.ts";

/** `POST /build`: builds the archive of the body, or what `remote` names, into the store. */
export async function buildImage({ server, query, request, messages, signal }: Call): Promise<void> {
  const { options, isQuiet, notes } = buildQuery(query);
  using _permit = await server.builds.acquire(0, signal);
  // Of a context from elsewhere the body is empty, and some clients never end it.
  const body = options.context === "-" ? bodyOf(request) : Readable.from([]);
  const environment = { ...withAccounts(server.environment, request.headers, undefined), stdin: () => body };
  const text = new ClassicStream(messages);
  if (!isQuiet) for (const note of notes) text.say(` ---> ${note}\n`);
  // Two builds of one process may begin in the same millisecond.
  const part = randomBytes(4).toString("hex");
  try {
    const progress = isQuiet ? (): void => undefined : text.sink;
    const { imageId, manifest, names } = await build({ ...options, part, progress }, environment, signal);
    text.flush();
    const id = imageId ?? manifest?.digest;
    if (id === undefined) throw new Error("a build without an image");
    if (isQuiet) {
      text.say(`${id}\n`);
    } else {
      messages.send({ aux: { ID: id } });
      text.say(`Successfully built ${id.slice("sha256:".length, "sha256:".length + 12)}\n`);
      for (const name of names) text.say(`Successfully tagged ${familiarReference(parseReference(name))}\n`);
    }
    messages.end();
  } catch (error) {
    text.flush();
    throw error;
  } finally {
    body.destroy();
  }
}
