import type { Readable } from "node:stream";
import { resolve } from "node:path";
import { BuildError } from "../../../lib/core/errors.ts";
import { readGiven } from "../../../lib/core/given-file.ts";
import type { ProgressSink } from "../../../lib/core/progress.ts";
import type { BlobName } from "../../../lib/reapi/blobs.ts";
import type { ClusterAccess } from "../../../lib/reapi/channel.ts";
import { Cluster } from "../../../lib/reapi/cluster.ts";
import { parsePlace } from "../../../lib/reapi/place.ts";
import type { BuildEnvironment } from "../environment.ts";
import type { RemoteAccess } from "./remote-options.ts";

export interface ClustersDeps {
  readonly environment: Pick<BuildEnvironment, "env" | "workingDirectory">;
  readonly access: RemoteAccess;
  readonly progress: ProgressSink;
  /** True when nothing may be asked. */
  readonly isOffline: boolean;
}

const MAX_PEM_BYTES = 1 << 20;

/** The clusters that a command uses: one that it was told to use, and those that have layers which it needs. */
export class Clusters implements Disposable {
  readonly #deps: ClustersDeps;
  readonly #open = new Map<string, Promise<Cluster>>();

  constructor(deps: ClustersDeps) {
    this.#deps = deps;
  }

  /**
   * Opens a cluster by its URL, without any request yet.
   * @throws {BuildError} `cli/usage`
   */
  async at(url: string, signal: AbortSignal): Promise<Cluster> {
    const place = parsePlace(url, "--remote");
    let cluster = this.#open.get(place.url);
    if (cluster === undefined) {
      if (this.#deps.isOffline) {
        throw new BuildError(
          "remote/unreachable",
          `Cannot use ${JSON.stringify(place.url)}: the build is to be offline`,
        );
      }
      const onWait = (message: string): void =>
        this.#deps.progress({ kind: "notice", level: "info", message, hint: undefined });
      cluster = this.#access(signal).then((access) => new Cluster({ place, access, onWait }));
      cluster.catch(() => undefined);
      this.#open.set(place.url, cluster);
    }
    return cluster;
  }

  /** Opens a blob of a cluster. */
  async openBlob(
    repository: string,
    blob: BlobName,
    from: { readonly offsetBytes: number; readonly check: "digest" | "none" },
    signal: AbortSignal,
  ): Promise<Readable> {
    return (await this.at(repository, signal)).blobs.open(blob, from, signal);
  }

  [Symbol.dispose](): void {
    // A cluster that failed to open has nothing to close.
    for (const cluster of this.#open.values()) cluster.then((one) => one[Symbol.dispose]()).catch(() => undefined);
  }

  async #access(signal: AbortSignal): Promise<ClusterAccess> {
    const { environment, access } = this.#deps;
    const { env } = environment;
    const headers =
      access.headers ?? (env["KILN_REMOTE_HEADER"] ?? "").split("\n").filter((line) => line.trim() !== "");
    const read = async (path: string | undefined, name: string): Promise<Uint8Array | undefined> => {
      const given = path ?? env[name];
      if (given === undefined || given === "") return undefined;
      const refuse = (): BuildError =>
        new BuildError("cli/usage", `Cannot read ${JSON.stringify(given)}: it is no PEM file`);
      return readGiven({ path: resolve(environment.workingDirectory, given), refuse }, MAX_PEM_BYTES, signal);
    };
    return {
      headers: headers.map(parseHeader),
      tls: {
        ca: await read(access.ca, "KILN_REMOTE_CA"),
        certificate: await read(access.certificate, "KILN_REMOTE_CERT"),
        key: await read(access.key, "KILN_REMOTE_KEY"),
      },
    };
  }
}

/** Reads `NAME: VALUE`. The value is never shown: it is a token, most often. */
function parseHeader(text: string): readonly [string, string] {
  const [, name, value] = /^\s*([A-Za-z0-9_.-]+)\s*[:=]\s*(\S.*?)\s*$/.exec(text) ?? [];
  if (name === undefined || value === undefined) {
    throw new BuildError("cli/usage", "Cannot use the value of --remote-header: it has the form NAME: VALUE");
  }
  return [name.toLowerCase(), value];
}
