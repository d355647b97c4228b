import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { BuildError, messageOf } from "../../lib/core/errors.ts";
import type { ProgressSink } from "../../lib/core/progress.ts";
import { loadNative } from "../../lib/native/load.ts";
import type { Native } from "../../lib/native/native.ts";
import { type Fetch, createFetch } from "../../lib/registry/fetch.ts";
import type { RegistryClient } from "../../lib/registry/registry.ts";
import { type OpenStore, openStore } from "../../lib/store/open-store.ts";
import { guarded } from "../../lib/store/failure.ts";
import type { Graph } from "../../solver/graph/graph.ts";
import { inputsFirst } from "../../solver/graph/order.ts";
import { PackPool } from "../../lib/tar/pack-pool.ts";
import { createRuntime } from "../../solver/runtime/driver.ts";
import type { OwnersBeyond } from "../../solver/runtime/owners-beyond.ts";
import {
  canGiveFiles,
  lastIds,
  canMount,
  identityMap,
  overlayMarksFor,
  readRights,
  type Rights,
} from "../../solver/runtime/host.ts";
import { Ladder } from "../../solver/runtime/ladder.ts";
import type { Clusters } from "./cluster/clusters.ts";
import type { RemoteAccess } from "./cluster/remote-options.ts";
import type { ObjectCaches } from "../../solver/cache/objects/object-caches.ts";
import type { WeakIsolation } from "../../solver/cache/key.ts";
import { formatBytes } from "../progress/step-book.ts";
import type { CopyCost } from "../../solver/snapshot/working-tree.ts";
import { copyingSnapshotter } from "../../solver/snapshot/copying.ts";
import { createImageSource } from "../../solver/sources/image/image-source.ts";
import type { ImageSource, Runtime, Snapshotter } from "../../solver/ports.ts";
import type { BuildEnvironment } from "./environment.ts";
import { layerSources } from "./images/layer-sources.ts";
import type { LayerSources } from "../export/layers.ts";
import { connectionOptions, type GivenAccounts, registryOptions, transportOptions } from "./images/registry-options.ts";

/**
 * The parts that every command works with, wired for one environment. Opening one opens the store and nothing else;
 * parts that a command does not use are never made. Dispose it when the command is done.
 */
export class Engine implements AsyncDisposable {
  readonly environment: BuildEnvironment;
  readonly native: Native;
  readonly store: OpenStore;
  readonly snapshotter: Snapshotter & AsyncDisposable;
  readonly images: ImageSource;
  readonly runtime: Runtime & Disposable;
  readonly layers: LayerSources;
  readonly packPool: PackPool;
  readonly fetch: Fetch;
  readonly #progress: ProgressSink;
  readonly #insecure: Set<string>;
  readonly #isOffline: boolean;
  readonly #accounts: GivenAccounts;
  readonly #remoteAccess: RemoteAccess;
  readonly #http: { readonly fetch: Fetch } & AsyncDisposable;
  readonly #hasPretendedIds: boolean;
  #ownersBeyond: OwnersBeyond | undefined;
  readonly #isPlainRoot: boolean;
  readonly #ladder: Ladder;
  readonly #told = new Set<string>();
  #client: Promise<RegistryClient> | undefined;
  #objects: Promise<ObjectCaches> | undefined;
  #clusters: Promise<Clusters> | undefined;

  constructor(environment: BuildEnvironment, options: EngineOptions) {
    this.environment = environment;
    this.#progress = options.progress;
    this.#insecure = new Set(options.insecureRegistries);
    this.#isOffline = options.offline === true;
    this.#accounts = options.accounts ?? {};
    this.#remoteAccess = options.remoteAccess ?? {};
    this.native = loadNative(environment.addonPath);
    this.store = openStore(environment.root, { native: this.native, clock: environment });
    const rights = readRights(environment.uid);
    const marks = overlayMarksFor(rights, environment.root);
    const ownersDirectory = this.#ownersDirectory(rights);
    this.#hasPretendedIds = ownersDirectory !== undefined;
    // The machine's root with full rights: the isolation is known without a test.
    this.#isPlainRoot = rights.userNamespace === undefined && canMount(rights) && !rights.isFiltered;
    const runtimeOptions = {
      runtimePath: environment.runtimePath,
      overlayMarks: marks,
      arch: environment.arch,
      instance: `${environment.pid}-${newId()}`,
      notice: (message: string) => this.#progress({ kind: "notice", level: "warning", message, hint: undefined }),
    } as const;
    const ladder = new Ladder({
      ...runtimeOptions,
      directory: join(environment.root, "runtime"),
      searchPath: [],
      native: this.native,
      ids: ownersDirectory === undefined ? "real" : "pretended",
      maySysAdmin: canMount(rights),
      identity: rights.identity,
    });
    this.#ladder = ladder;
    const copiesAlways = environment.env["KILN_SNAPSHOTTER"] === "native";
    const mustCopy = async (signal: AbortSignal): Promise<boolean> => {
      const rung = await ladder.find(signal);
      return rung.kind === "chroot" || (rung.kind === "namespaces" && !rung.overlay);
    };
    this.snapshotter = copyingSnapshotter({
      directory: this.store.layout.snapshots,
      marks,
      newId: () => {
        const id = newId();
        // All names it will have: an active layer, one being removed, the layer itself.
        this.store.holds.claim([`snapshot:active-${id}`, `snapshot:removed-${id}`, `snapshot:${id}`]);
        return id;
      },
      native: this.native,
      hold: (name) => this.store.holds.claim([`snapshot:${name}`]),
      readsLayers: async (signal) => (await ladder.find(signal)).kind === "chroot",
      nowMs: () => environment.nowMs(),
      bootId: () => environment.bootId(),
      onCopied: (cost) => this.#tellCopy(cost),
      onAmbiguousLink: (path) => this.#tellOnce(`${CHANGED_LINK}, as "/${path}"`),
      isNeeded: async (signal) => copiesAlways || (await mustCopy(signal)),
    });
    this.images = createImageSource({
      store: this.store,
      native: this.native,
      snapshotter: this.snapshotter,
      registry: () => this.registry(),
      objects: () => this.objects(),
      clusters: () => this.clusters(),
      progress: options.progress,
      clock: environment,
    });
    const namespaceOfSteps =
      environment.env["KILN_STEP_USERNS"] === "1" ? identityMap(rights.userNamespace) : undefined;
    this.runtime = createRuntime({
      ...runtimeOptions,
      scratchDirectory: join(environment.root, "runtime"),
      searchPath: (environment.env["PATH"] ?? "").split(":").filter((directory) => directory !== ""),
      ownersDirectory,
      ownersBeyond: this.#ownersBeyond,
      chroot: { native: this.native },
      findRung: (signal) => ladder.find(signal),
      ...(namespaceOfSteps === undefined ? {} : { userNamespace: namespaceOfSteps }),
    });
    this.packPool = new PackPool({ native: this.native, maxLayers: environment.processors });
    this.#http = createFetch(() => connectionOptions(environment.env));
    this.fetch = this.#http.fetch;
    this.layers = layerSources({
      store: this.store,
      native: this.native,
      snapshotter: this.snapshotter,
      packPool: this.packPool,
      images: this.images,
      registry: () => this.registry(),
      objects: () => this.objects(),
      clusters: () => this.clusters(),
      processors: environment.processors,
    });
  }

  /**
   * Returns the weak isolation of commands; `undefined` for full isolation. It is in the keys of commands, so it is the
   * last observed one with these rights. Without an observation it is tested now, if there are commands at all.
   */
  async isolation(graph: Graph, signal: AbortSignal): Promise<WeakIsolation | undefined> {
    const hasCommands = (): boolean => inputsFirst(graph.targets).some(({ op }) => op.kind === "exec");
    const isUnknown = !this.#isPlainRoot && this.#ladder.lastKind() === undefined;
    if (isUnknown && !hasCommands()) return this.#hasPretendedIds ? "single id" : undefined;
    return this.commandIsolation(signal);
  }

  /** Does the same where it is known that there are commands. */
  async commandIsolation(signal: AbortSignal): Promise<WeakIsolation | undefined> {
    const ids = this.#hasPretendedIds ? "single id" : undefined;
    if (this.#isPlainRoot) return ids;
    return (this.#ladder.lastKind() ?? (await this.#ladder.find(signal)).kind) === "chroot" ? "chroot" : ids;
  }

  /** Says once what copies cost, by the first one. */
  #tellCopy({ files, sizeBytes, wallMs }: CopyCost): void {
    if (this.#told.has(COPIES)) return;
    this.#told.add(COPIES);
    const cost = `the first copy took ${(wallMs / 1000).toFixed(1)} s for ${formatBytes(sizeBytes)} in ${files} files`;
    this.#tellOnce(`${COPIES}; ${cost}; "kiln doctor" says how to avoid it`);
  }

  #tellOnce(message: string): void {
    if (this.#told.has(message)) return;
    this.#told.add(message);
    this.#progress({ kind: "notice", level: "warning", message, hint: undefined });
  }

  /** Loads the HTTP client, the heaviest part, when a registry is first needed. */
  registry(): Promise<RegistryClient> {
    this.#client ??= this.#openRegistry();
    return this.#client;
  }

  /** Loads the access to caches in stores of objects when one is first named, or has a blob that is needed. */
  objects(): Promise<ObjectCaches> {
    this.#objects ??= this.#openObjects();
    return this.#objects;
  }

  /** Loads the access to clusters when one is named, or has a layer that is needed. */
  clusters(): Promise<Clusters> {
    this.#clusters ??= this.#openClusters();
    return this.#clusters;
  }

  /** Returns a path for a folder of one build's own, on the file system of the snapshots. It is not made here. */
  scratchPath(): string {
    const name = `${this.environment.pid}-${newId()}`;
    this.store.holds.claim([`scratch:${name}`]);
    return join(this.environment.root, "scratch", name);
  }

  /**
   * Returns the directory for written-down owners: files cannot be given to other ids without ids or capabilities, so
   * their owners are recorded there. A store that was begun so stays so: its files have no other owners.
   */
  #ownersDirectory(rights: Rights): string | undefined {
    const directory = join(this.environment.root, "owners");
    if (canGiveFiles(rights) && !existsSync(directory)) {
      this.#keepOwnersBeyond(rights);
      return undefined;
    }
    guarded(`use the store "${this.environment.root}"`, () => {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      this.native.keepOwners(directory);
    });
    return directory;
  }

  /** Records of owners beyond subordinate ids, and of devices: they are written down as with a single id. */
  #keepOwnersBeyond(rights: Rights): void {
    const last = lastIds(rights);
    if (last === undefined) return;
    const directory = join(this.environment.root, "owners-beyond");
    guarded(`use the store "${this.environment.root}"`, () => {
      if (!existsSync(directory)) mkdirSync(directory, { recursive: true, mode: 0o700 });
      this.native.keepOwners(directory, last);
    });
    this.#ownersBeyond = { directory, ...last };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.runtime[Symbol.dispose]();
    await this.snapshotter[Symbol.asyncDispose]();
    await this.#http[Symbol.asyncDispose]();
    if (this.#client !== undefined) {
      // A client that failed to load has nothing to close.
      const client = await this.#client.catch(() => undefined);
      await client?.[Symbol.asyncDispose]();
    }
    const objects = await this.#objects?.catch(() => undefined);
    await objects?.[Symbol.asyncDispose]();
    const clusters = await this.#clusters?.catch(() => undefined);
    clusters?.[Symbol.dispose]();
    const hasWorked = this.store.holds.isRegistered;
    await this.store[Symbol.asyncDispose]();
    if (this.environment.keepsBlobs === false && hasWorked) await this.#removeSpareBlobs();
  }

  /** Deletes compressed layers through a store of its own: what this engine used is held until its store is closed. */
  async #removeSpareBlobs(): Promise<void> {
    try {
      const { removeSpareBlobs } = await import("../../lib/store/spare-blobs.ts");
      const { environment, native } = this;
      await using store = openStore(environment.root, { native, clock: environment });
      await removeSpareBlobs(store, new AbortController().signal);
    } catch (error) {
      const message = `Compressed layers could not be removed: ${messageOf(error)}`;
      this.#progress({ kind: "notice", level: "warning", message, hint: undefined });
    }
  }

  async #openObjects(): Promise<ObjectCaches> {
    const { ObjectCaches } = await import("../../solver/cache/objects/object-caches.ts");
    const { env, homeDirectory } = this.environment;
    const isOffline = this.#isOffline;
    return new ObjectCaches({ env, homeDirectory, clock: this.environment, http: transportOptions(env), isOffline });
  }

  async #openClusters(): Promise<Clusters> {
    const { Clusters } = await import("./cluster/clusters.ts");
    const { environment } = this;
    const progress = this.#progress;
    return new Clusters({ environment, access: this.#remoteAccess, progress, isOffline: this.#isOffline });
  }

  async #openRegistry(): Promise<RegistryClient> {
    if (this.#isOffline) {
      throw new BuildError("registry/unreachable", "Cannot use a registry: the build is to be offline", {
        hint: "pull the images that it needs before, or leave out --offline",
      });
    }
    const { createRegistryClient } = await import("../../lib/registry/client.ts");
    return createRegistryClient(
      await registryOptions(
        this.environment,
        { insecure: this.#insecure, accounts: this.#accounts },
        { progress: this.#progress, facts: this.store.facts },
      ),
    );
  }
}

const COPIES =
  "overlayfs cannot be mounted here: a chain of RUNs has the image copied once, and each RUN reads through its tree to see what changed";

export interface EngineOptions {
  readonly progress: ProgressSink;
  /** Registries to reach by plain HTTP or unverified TLS. */
  readonly insecureRegistries?: readonly string[];
  /** Accounts of the command line, for registries. */
  readonly accounts?: GivenAccounts;
  /** Access to clusters that the command line gives. */
  readonly remoteAccess?: RemoteAccess | undefined;
  /** True when no registry may be asked. */
  readonly offline?: boolean;
}

const CHANGED_LINK =
  "a command changed a file of an earlier layer that has several names, and all its names have changed; on overlayfs only one would have";

/** Makes an id of ten letters and digits, 50 bits: short, because overlay options list many of them. */
function newId(): string {
  return Array.from(randomBytes(10), (byte) => "0123456789abcdefghjkmnpqrstvwxyz"[byte & 31]).join("");
}
