import { randomUUID } from "node:crypto";
import { BuildError } from "../../../lib/core/errors.ts";
import { Transport, type TransportOptions } from "../../../lib/registry/transport.ts";
import { ObjectCache } from "./object-cache.ts";
import type { ObjectPlace, ObjectStore } from "./object-store.ts";
import type { SettingsSources } from "./s3-settings.ts";

/** Attributes that tell where a cache is, as the text of a blob's place has them. The others may be secrets. */
const PLACE_ATTRIBUTES: Readonly<Record<ObjectPlace["kind"], readonly string[]>> = {
  s3: ["bucket", "region", "prefix", "blobs_prefix", "manifests_prefix", "endpoint_url", "use_path_style", "name"],
  gha: ["scope", "url", "url_v2", "version"],
};

export interface ObjectCachesDeps extends SettingsSources {
  readonly clock: { nowMs(): number };
  readonly http: TransportOptions;
  /** True when nothing may be asked. */
  readonly isOffline: boolean;
}

/** The caches in stores of objects that a command uses. */
export class ObjectCaches implements AsyncDisposable {
  readonly #deps: ObjectCachesDeps;
  readonly #transport: Transport;
  readonly #opened: ObjectCache[] = [];

  constructor(deps: ObjectCachesDeps) {
    this.#deps = deps;
    this.#transport = new Transport(deps.http);
  }

  /** Opens a cache, without any request yet. */
  open(place: ObjectPlace): ObjectCache {
    const repository = this.#textOf(place);
    const location = this.#shownAs(place);
    const own = place.kind === "s3" ? "type=s3,...,name=NAME" : "type=gha,scope=NAME";
    let store: Promise<ObjectStore> | undefined;
    const cache = new ObjectCache({ location, repository, own }, () => (store ??= this.#openStore(place)));
    this.#opened.push(cache);
    return cache;
  }

  /**
   * Finds the cache of a blob's place: one that this command has opened, or one with the settings of the environment.
   * @throws {BuildError} `cache/import-failed`
   */
  at(repository: string): ObjectCache {
    return this.#opened.find((cache) => cache.repository === repository) ?? this.open(parsePlace(repository));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transport[Symbol.asyncDispose]();
  }

  async #openStore(place: ObjectPlace): Promise<ObjectStore> {
    const { clock, isOffline } = this.#deps;
    if (isOffline) throw new BuildError("cache/import-failed", "the build is to be offline");
    if (place.kind === "s3") {
      const [{ readS3Settings }, { S3Store }] = await Promise.all([
        import("./s3-settings.ts"),
        import("./s3-store.ts"),
      ]);
      return new S3Store(await readS3Settings(place, this.#deps), this.#transport, clock);
    }
    const [{ readGhaSettings }, { openGhaService }, { GhaStore }] = await Promise.all([
      import("./gha-settings.ts"),
      import("./gha-service.ts"),
      import("./gha-store.ts"),
    ]);
    const settings = readGhaSettings(place, this.#deps, clock);
    return new GhaStore(openGhaService(settings, this.#transport), settings, () => randomUUID());
  }

  /** Writes a place as a text, with what the environment says about it. */
  #textOf({ kind, attributes }: ObjectPlace): string {
    const { env } = this.#deps;
    const fromEnv: Readonly<Record<string, string | undefined>> =
      kind === "s3"
        ? { bucket: env["AWS_BUCKET"], region: env["AWS_REGION"], endpoint_url: env["AWS_ENDPOINT_URL_S3"] }
        : {};
    const pairs = PLACE_ATTRIBUTES[kind].flatMap((name) => {
      const value = attributes[name] ?? fromEnv[name];
      return value === undefined ? [] : [[name, value] satisfies [string, string]];
    });
    return `${kind}://?${new URLSearchParams(pairs).toString()}`;
  }

  #shownAs({ kind, attributes }: ObjectPlace): string {
    if (kind === "gha") return `gha:${attributes["scope"] ?? "buildkit"}`;
    const bucket = attributes["bucket"] ?? this.#deps.env["AWS_BUCKET"] ?? "?";
    const { prefix = "", manifests_prefix: manifests = "manifests/", name = "buildkit" } = attributes;
    return `s3://${bucket}/${prefix}${manifests}${name}`;
  }
}

function parsePlace(repository: string): ObjectPlace {
  const [, kind, query = ""] = /^(s3|gha):\/\/\?(.*)$/.exec(repository) ?? [];
  if (kind !== "s3" && kind !== "gha") {
    throw new BuildError("cache/import-failed", `${JSON.stringify(repository)} is no place of a cache`);
  }
  return { kind, attributes: Object.fromEntries(new URLSearchParams(query)) };
}
