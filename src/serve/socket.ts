import { chmodSync, lstatSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from "node:fs";
import { once } from "node:events";
import { connect, type Server } from "node:net";
import { basename, dirname, join } from "node:path";
import { BuildError, errnoOf, messageOf } from "../../lib/core/errors.ts";

/** The kernel's limit of a socket's path, in bytes. */
const MAX_PATH_BYTES = 107;

/**
 * Listens on a unix socket that only its owner may use, from its first moment: it is made in a folder of mode 0700 and then
 * moved to its name, over one that a killed server left. Disposing removes it.
 * @throws {BuildError} `serve/socket`
 */
export async function listenOn(server: Server, path: string): Promise<Disposable> {
  const refuse = (why: string, hint: string, cause?: unknown): BuildError =>
    new BuildError("serve/socket", `Cannot listen on "${path}": ${why}`, { hint, cause });
  await refuseTaken(path, refuse);
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const folder = mkdtempSync(join(dirname(path), ".kiln-"));
    const made = join(folder, "s");
    try {
      if (Math.max(Buffer.byteLength(made), Buffer.byteLength(path)) > MAX_PATH_BYTES)
        throw refuse("it is too long for a socket", "choose a shorter path with --socket, of at most 90 bytes");
      server.listen(made);
      await once(server, "listening");
      chmodSync(made, 0o600);
      renameSync(made, path);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  } catch (error) {
    if (error instanceof BuildError) throw error;
    throw refuse(messageOf(error), "choose a place of yours with --socket", error);
  }
  const { dev, ino } = statSync(path);
  return {
    [Symbol.dispose]: () => {
      const now = statSync(path, { throwIfNoEntry: false });
      // Another server may have taken the name.
      if (now?.dev === dev && now.ino === ino) rmSync(path, { force: true });
    },
  };
}

async function refuseTaken(path: string, refuse: (why: string, hint: string) => BuildError): Promise<void> {
  const status = lstatSync(path, { throwIfNoEntry: false });
  if (status === undefined) return;
  if (!status.isSocket()) throw refuse(`there is a file "${basename(path)}"`, "choose another name with --socket");
  const client = connect(path);
  try {
    await once(client, "connect");
  } catch (error) {
    // Nobody listens: a server was killed.
    if (["ECONNREFUSED", "ENOENT"].includes(errnoOf(error) ?? "")) return;
    throw refuse(messageOf(error), "choose a place of yours with --socket");
  } finally {
    client.destroy();
  }
  throw refuse("another server listens there", "end it, or choose another name with --socket");
}
