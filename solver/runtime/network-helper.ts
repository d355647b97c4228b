import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { BuildError, errnoOf } from "../../lib/core/errors.ts";
import type { PublishedPort } from "../ports.ts";

/** A program that connects a network namespace with the outside, and how it is called. */
export interface NetworkHelper {
  readonly name: "pasta" | "slirp4netns";
  /** The program's path first. The namespace is descriptor 0. */
  readonly argv: readonly string[];
}

const NAMESPACE = "/proc/self/fd/0";

/** No port of a step is reachable from outside, nor are this machine's own through either of them: a step's network is for going out. */
const ARGUMENTS: Readonly<Record<NetworkHelper["name"], readonly string[]>> = {
  pasta: [
    ...["--foreground", "--quiet", "--config-net", "--no-map-gw", "--ns-ifname", "eth0"],
    ...["--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none"],
    ...["--netns", NAMESPACE],
  ],
  slirp4netns: [...["--configure", "--mtu=65520", "--disable-host-loopback", "--netns-type=path", NAMESPACE, "eth0"]],
};

export const NETWORK_HELPER_HINT = "apt-get install passt (or slirp4netns), or build with --network=default";

/** Returns the missing part for a network of a step's own, as advice; `undefined` where nothing is missing. */
export function networkHelperLack(place: Parameters<typeof findNetworkHelper>[0]): string | undefined {
  try {
    findNetworkHelper(place);
    accessSync("/dev/net/tun", constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    if (error instanceof BuildError) return "apt-get install passt (or slirp4netns)";
    if (errnoOf(error) === undefined) throw error;
    return TUN_HINT;
  }
}

export const TUN_HINT =
  "the program needs /dev/net/tun: modprobe tun; chmod 666 /dev/net/tun; in a container --device /dev/net/tun";

/**
 * The first of the two that is installed. pasta refuses to work as root of the machine unless told to.
 * @throws {BuildError} `runtime/failed` when there is neither.
 */
export function findNetworkHelper(facts: {
  readonly searchPath: readonly string[];
  readonly isHostRoot: boolean;
  /** Ports that lead inside; only pasta is told of them before it starts. */
  readonly ports?: readonly PublishedPort[] | undefined;
}): NetworkHelper {
  const { ports = [] } = facts;
  for (const name of ["pasta", "slirp4netns"] as const) {
    const program = facts.searchPath.map((directory) => join(directory, name)).find(isExecutable);
    if (program === undefined || (ports.length > 0 && name !== "pasta")) continue;
    const asRoot = name === "pasta" && facts.isHostRoot ? ["--runas", "0"] : [];
    return { name, argv: [program, ...asRoot, ...withPorts(ARGUMENTS[name], ports)] };
  }
  if (ports.length > 0) {
    throw new BuildError("runtime/failed", "Cannot publish ports: pasta is not installed", {
      hint: "apt-get install passt, or run with --network=host, where all ports are this machine's",
    });
  }
  throw new BuildError(
    "runtime/failed",
    "Cannot give the step a network of its own: neither pasta nor slirp4netns is installed",
    {
      hint: NETWORK_HELPER_HINT,
    },
  );
}

/** Puts ports in the place of "none": `-t ADDRESS/8080:80`. */
function withPorts(words: readonly string[], ports: readonly PublishedPort[]): string[] {
  const specs = (protocol: PublishedPort["protocol"], flag: string): string[] => {
    const own = ports.filter((one) => one.protocol === protocol);
    return (own.length === 0 ? ["none"] : own.map(portSpec)).flatMap((spec) => [flag, spec]);
  };
  const first = words.indexOf("--tcp-ports");
  if (first === -1) return [...words];
  return words.toSpliced(first, 4, ...specs("tcp", "--tcp-ports"), ...specs("udp", "--udp-ports"));
}

function portSpec({ address, hostPort, port, count }: PublishedPort): string {
  const range = (from: number): string => (count === 1 ? `${from}` : `${from}-${from + count - 1}`);
  return `${address === undefined ? "" : `${address}/`}${range(hostPort)}:${range(port)}`;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
