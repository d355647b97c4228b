import { chmodSync, closeSync, constants, mkdirSync, mkdtempSync, openSync } from "node:fs";
import { rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { AT_FDCWD } from "../../../lib/native/constants.ts";
import type { Native } from "../../../lib/native/native.ts";

/** `O_PATH` of Linux; Node has no name for it. */
const O_PATH = 0x20_0000;

/** A Unix socket of ours on the disk, open until disposal. */
export interface AgentSocket extends AsyncDisposable {
  /** Host path. It may be longer than the 108 bytes that connect(2) takes, but can be mounted. */
  readonly path: string;
}

/**
 * Listens on a socket in a new folder below `directory`, and passes every connection to `serve`, which owns it. The
 * socket's owner and permissions decide which processes may connect.
 */
export async function listenAsAgent(
  options: {
    readonly directory: string;
    readonly permissions: number;
    readonly owner: { readonly uid: number; readonly gid: number; readonly native: Native } | undefined;
  },
  serve: (client: Socket) => void,
): Promise<AgentSocket> {
  mkdirSync(options.directory, { recursive: true, mode: 0o700 });
  const home = mkdtempSync(join(options.directory, "ssh-"));
  const path = join(home, "agent");
  const clients = new Set<Socket>();
  const server = createServer((client) => {
    clients.add(client);
    client.once("close", () => clients.delete(client));
    serve(client);
  });
  // Named through a descriptor, the path is short enough for bind(2) wherever the store is.
  const fd = openSync(home, O_PATH | constants.O_DIRECTORY);
  try {
    await listening(server, `/proc/self/fd/${fd}/agent`);
  } finally {
    closeSync(fd);
  }
  // An agent alone is no reason to keep running.
  server.unref();
  chmodSync(path, options.permissions);
  if (options.owner !== undefined) options.owner.native.fchownat(AT_FDCWD, path, options.owner.uid, options.owner.gid);
  return {
    path,
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.destroy();
      server.close();
      await rm(home, { recursive: true, force: true });
    },
  };
}

/** Connects to another agent's socket and forwards everything, both ways. */
export function forwardTo(hostPath: string): (client: Socket) => void {
  return (client) => {
    const agent = connect(hostPath);
    // When either side fails or ends, the other one sees its connection close.
    client.on("error", () => agent.destroy());
    agent.on("error", () => client.destroy());
    client.on("close", () => agent.destroy());
    agent.on("close", () => client.destroy());
    client.pipe(agent).pipe(client);
  };
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
