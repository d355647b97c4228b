import { createServer, isIP } from "node:net";
import { BuildError, errnoOf, messageOf } from "../../../lib/core/errors.ts";
import type { PublishedPort } from "../../../solver/ports.ts";
import { malformed } from "../flags/csv.ts";

/** A port as it is asked for: `hostPort` 0 is any that is free. */
const FORM = /^(?:(?:\[([^\]]*)\]|([^:]*)):)?(?:(\d*)(?:-(\d+))?:)?(\d+)(?:-(\d+))?(?:\/(\w+))?$/;

/**
 * Reads docker's `-p [address:][port:]port[/protocol]`, with ranges of equal length.
 * @throws {BuildError} `cli/usage`
 */
export function readPorts(flags: readonly string[]): PublishedPort[] {
  return flags.map((text) => {
    const bad = (why: string): BuildError =>
      malformed("publish", text, why, 'write it like "8080:80" or "127.0.0.1:8080:80"');
    // An address is only there with a second colon: `8080:80` is two ports.
    const plain = /^[^[\]:]*:[^:]*$/.test(text) ? `:${text}` : text;
    const [, v6, v4 = "", from = "", to, port = "", last, protocol = "tcp"] = FORM.exec(plain) ?? [];
    if (port === "") throw bad("it is not [address:][port:]port[/protocol]");
    const address = v6 ?? (v4 === "" ? undefined : v4);
    if (address !== undefined && isIP(address) === 0) throw bad(`${JSON.stringify(address)} is no IP address`);
    if (protocol !== "tcp" && protocol !== "udp") throw bad(`there is no protocol ${JSON.stringify(protocol)} here`);
    const inside = range(port, last, bad);
    const outside = from === "" ? { first: 0, count: inside.count } : range(from, to, bad);
    if (outside.count !== inside.count) throw bad("its two ranges are not of the same length");
    return { protocol, address, hostPort: outside.first, port: inside.first, count: inside.count };
  });
}

function range(
  first: string,
  last: string | undefined,
  bad: (why: string) => BuildError,
): { readonly first: number; readonly count: number } {
  const [from, end] = [Number(first), Number(last ?? first)];
  if (from > 65535 || end > 65535 || end < from) throw bad("ports are 1 to 65535");
  return { first: from, count: end - from + 1 };
}

/** Ports that the image declares, `80/tcp`, each at a free one of this machine. */
export function exposedPorts(exposed: Readonly<Record<string, unknown>> | undefined): PublishedPort[] {
  return Object.keys(exposed ?? {}).flatMap((text) => {
    const [port = "", protocol = "tcp"] = text.split("/");
    if (!/^\d+$/.test(port) || (protocol !== "tcp" && protocol !== "udp")) return [];
    return [{ protocol, address: undefined, hostPort: 0, port: Number(port), count: 1 }];
  });
}

/**
 * Finds free ports of this machine for those that leave it open, one by one for a range.
 * @throws {BuildError} `runtime/failed` where a port is in use, or not for this user
 */
export async function chosenPorts(ports: readonly PublishedPort[]): Promise<PublishedPort[]> {
  const single = ports.flatMap((one) =>
    one.hostPort !== 0
      ? [one]
      : Array.from({ length: one.count }, (_, index) => ({ ...one, port: one.port + index, count: 1 })),
  );
  return Promise.all(
    single.map(async (one) => {
      if (one.hostPort !== 0 && one.protocol === "udp") return one;
      try {
        return { ...one, hostPort: await freePort(one) };
      } catch (error) {
        throw taken(one, error);
      }
    }),
  );
}

function taken({ hostPort, address }: PublishedPort, error: unknown): BuildError {
  const where = `${address === undefined ? "" : `${address}:`}${hostPort}`;
  const code = errnoOf(error);
  const why: Readonly<Partial<Record<string, string>>> = {
    EADDRINUSE: "something else on this machine uses it",
    EACCES: "ports below 1024 are for root",
    EADDRNOTAVAIL: "this machine does not have the address",
  };
  return new BuildError("runtime/failed", `Cannot publish port ${where}: ${why[code ?? ""] ?? messageOf(error)}`, {
    cause: error,
    hint: `another one: -p ${hostPort < 1024 ? hostPort + 8000 : hostPort + 1}:PORT; or leave it out: -p PORT takes a free one`,
  });
}

/** Listens for a moment, and returns the port that it was. */
function freePort({ address, hostPort }: PublishedPort): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(hostPort, address ?? "0.0.0.0", () => {
      const found = server.address();
      server.close(() => resolve(typeof found === "object" && found !== null ? found.port : 0));
    });
  });
}
