import { type Handler, unsupported } from "./call.ts";
import { info, ping, version } from "./daemon.ts";

/** A handler and the variable parts of its path. */
export interface Match {
  readonly handler: Handler;
  readonly params: readonly string[];
}

/** Methods and paths, without the version. `*` is an image's name, which may hold slashes. Handlers are loaded when they are meant. */
const ROUTES: readonly (readonly [method: string, path: string, load: () => Promise<Handler>])[] = [
  ["GET", "/_ping", async () => ping],
  ["HEAD", "/_ping", async () => ping],
  ["GET", "/version", async () => version],
  ["GET", "/info", async () => info],
  ["POST", "/auth", async () => (await import("./check-account.ts")).checkAccount],
  ["POST", "/build", async () => (await import("./build-image.ts")).buildImage],
  ["POST", "/build/prune", async () => (await import("./images.ts")).pruneBuilds],
  ["GET", "/images/json", async () => (await import("./images.ts")).listImages],
  ["POST", "/images/create", async () => (await import("./transfers.ts")).createImage],
  ["POST", "/images/load", async () => (await import("./transfers.ts")).loadImagesFromBody],
  ["POST", "/images/prune", async () => (await import("./images.ts")).pruneImages],
  ["GET", "/images/get", async () => (await import("./transfers.ts")).saveImagesToBody],
  ["GET", "/images/search", async () => refuse("Searching is", "search in the registry's own pages")],
  ["GET", "/images/*/json", async () => (await import("./images.ts")).inspectImage],
  ["GET", "/images/*/history", async () => (await import("./images.ts")).imageHistory],
  ["GET", "/images/*/get", async () => (await import("./transfers.ts")).saveImagesToBody],
  ["POST", "/images/*/tag", async () => (await import("./images.ts")).tagImage],
  ["POST", "/images/*/push", async () => (await import("./transfers.ts")).pushImage],
  ["DELETE", "/images/*", async () => (await import("./images.ts")).deleteImage],
];

/** Parts of the API that are not here, by the first name of their paths. docker's client goes on after "not supported". */
const REFUSED: Readonly<Record<string, readonly [what: string, hint: string]>> = {
  containers: [
    "Containers are",
    "kiln run runs an image until its command ends; kiln build --load=docker hands it to docker",
  ],
  exec: ["Containers are", "kiln run runs an image until its command ends"],
  commit: ["Containers are", "write a Dockerfile"],
  session: ["BuildKit's sessions are", "set DOCKER_BUILDKIT=0 for classic builds, or use kiln build"],
  grpc: ["BuildKit's protocol is", "set DOCKER_BUILDKIT=0 for classic builds, or use kiln build"],
  distribution: ["Questions to registries are", "kiln imagetools inspect asks them"],
  events: ["Events are", "the answer to a build tells its progress"],
  system: ["Sizes of the store are", "kiln du and kiln df show them"],
  ...Object.fromEntries(
    ["networks", "volumes", "plugins", "swarm", "nodes", "services", "tasks", "secrets", "configs"].map((name) => [
      name,
      [`${name[0]?.toUpperCase()}${name.slice(1)} are`, "kiln serve builds images and keeps them"] as const,
    ]),
  ),
};

/** Finds the handler for a path without its version; `undefined` where docker has none either. */
export async function findRoute(method: string, path: string): Promise<Match | undefined> {
  for (const [wanted, pattern, load] of ROUTES) {
    if (wanted !== method) continue;
    const params = matched(pattern, path);
    if (params !== undefined) return { handler: await load(), params };
  }
  const [, first = ""] = path.split("/");
  const refused = Object.hasOwn(REFUSED, first) ? REFUSED[first] : undefined;
  return refused === undefined ? undefined : { handler: refuse(...refused), params: [] };
}

function matched(pattern: string, path: string): readonly string[] | undefined {
  const star = pattern.indexOf("*");
  if (star === -1) return pattern === path ? [] : undefined;
  const head = pattern.slice(0, star);
  const tail = pattern.slice(star + 1);
  const isLong = path.length > head.length + tail.length;
  return isLong && path.startsWith(head) && path.endsWith(tail)
    ? [path.slice(head.length, path.length - tail.length)]
    : undefined;
}

function refuse(what: string, hint: string): Handler {
  return async () => {
    throw unsupported(`${what} not supported by kiln serve`, hint);
  };
}
