import { snapshotId } from "../../lib/store/snapshot-id.ts";
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { randomUUID } from "node:crypto";
import { type Digest, digestOf } from "../../lib/core/digest.ts";
import type { ProgressEvent } from "../../lib/core/progress.ts";
import { locateNative } from "../../lib/native/locate.ts";
import type { Native } from "../../lib/native/native.ts";
import { openStore } from "../../lib/store/open-store.ts";
import type { SnapshotId } from "../../lib/store/model.ts";
import type { Store } from "../../lib/store/store.ts";
import { measureLayer } from "../../lib/tar/measure.ts";
import type { SolveOptions, SolverDeps } from "../deps.ts";
import type { ExecMount, ExecOp, FileOp, ImageOp, LocalOp } from "../graph/op.ts";
import { plainCopy } from "../graph/plain-copy.ts";
import type { Graph } from "../graph/graph.ts";
import { type Vertex, vertex, type VertexMeta } from "../graph/vertex.ts";
import type { ImageSource, RunRequest, Runtime, Snapshotter } from "../ports.ts";
import { overlaySnapshotter } from "../snapshot/overlay.ts";
import { LocalSource } from "../sources/local/local-source.ts";

/** The tree as a test's command sees it: `write` a file of the layer, `read` one of the merged tree. */
export interface Tree {
  write(path: string, text: string): void;
  read(path: string): string | undefined;
  /** Dates a file of the layer, in seconds since 1970. */
  setTime(path: string, seconds: number): void;
  /** The request to the runtime. */
  readonly request: RunRequest;
  print(text: string): void;
  readonly signal: AbortSignal;
}

export type Command = (tree: Tree) => void | number | Promise<void | number>;

const PLATFORM = { os: "linux", architecture: "amd64" };

/** A store, a snapshotter and a context in a temporary folder; commands are functions of the test. */
export class Workbench implements AsyncDisposable {
  readonly directory: string;
  readonly context: string;
  readonly native: Native;
  readonly store: Store;
  readonly snapshotter: Snapshotter;
  readonly commands = new Map<string, Command>();
  /** Commands that ran, in order. */
  readonly ran: string[] = [];
  readonly materialized: SnapshotId[][] = [];
  readonly hashed: SnapshotId[] = [];
  events: ProgressEvent[] = [];
  readonly #images = new Map<Digest, SnapshotId[]>();
  readonly #meta = new Map<Digest, VertexMeta>();
  readonly #ownsDirectory: boolean;
  #nowMs = 1_700_000_000_000;

  constructor(directory?: string) {
    this.#ownsDirectory = directory === undefined;
    this.directory = directory ?? mkdtempSync(join(tmpdir(), "kiln-solver-"));
    this.context = join(this.directory, "context");
    mkdirSync(this.context, { recursive: true });
    this.native = locateNative();
    this.store = openStore(join(this.directory, "store"), {
      native: this.native,
      clock: { nowMs: () => (this.#nowMs += 1) },
    });
    this.snapshotter = overlaySnapshotter({
      directory: this.store.layout.snapshots,
      marks: "trusted",
      newId: () => randomUUID().replaceAll("-", "").slice(0, 12),
      native: this.native,
    });
  }

  file(path: string, text: string): void {
    const target = join(this.context, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, text);
  }

  /** Makes an image with one present layer; its one file `/base` contains `name`. */
  image(name: string, ref: string = "docker.io/library/base:latest"): Vertex {
    const manifest = digestOf(name);
    const id = snapshotId(`layer-${manifest.slice(7)}`);
    if (!this.#images.has(manifest)) {
      mkdirSync(this.snapshotter.pathOf(id), { recursive: true });
      writeFileSync(join(this.snapshotter.pathOf(id), "base"), name);
      this.store.snapshots.insert([{ id, state: "present" }]);
      this.#images.set(manifest, [id]);
    }
    const op: ImageOp = { kind: "image", ref, manifest, platform: PLATFORM };
    return this.#add(op, [], { instruction: `FROM ${ref}` });
  }

  /** Makes an image with a busybox shell, for tests with a real runtime. */
  busybox(): Vertex {
    const made = this.image("busybox");
    const [id] = this.#images.get(digestOf("busybox")) ?? [];
    const root = this.snapshotter.pathOf(id ?? snapshotId("none"));
    if (existsSync(join(root, "bin"))) return made;
    mkdirSync(join(root, "bin"));
    mkdirSync(join(root, "etc"));
    copyFileSync("/bin/busybox", join(root, "bin/busybox"));
    for (const name of ["sh", "cat", "ls", "id", "stat", "mkdir", "env", "hostname"]) {
      symlinkSync("busybox", join(root, "bin", name));
    }
    writeFileSync(join(root, "etc/passwd"), "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n");
    writeFileSync(join(root, "etc/group"), "root:x:0:\nextra:x:50:app\n");
    return made;
  }

  local(excludes: readonly string[] = []): Vertex {
    const op: LocalOp = { kind: "local", name: "context", excludes };
    return this.#add(op, [], { instruction: "context" });
  }

  run(
    parent: Vertex | undefined,
    command: string,
    options: {
      readonly env?: readonly string[];
      readonly argNames?: readonly string[];
      readonly mounts?: readonly ExecMount[];
      readonly inputs?: readonly Vertex[];
      readonly cache?: "use" | "skip";
      readonly stage?: string;
      readonly op?: Partial<ExecOp>;
    } = {},
  ): Vertex {
    const op: ExecOp = {
      kind: "exec",
      argv: ["/bin/sh", "-c", command],
      env: options.env === undefined ? [] : [options.env],
      cwd: "/",
      user: "",
      hostname: undefined,
      network: "default",
      security: "sandbox",
      scratchRoot: parent === undefined,
      mounts: options.mounts ?? [],
      shmSizeBytes: undefined,
      ulimits: [],
      extraHosts: [],
      cgroupParent: undefined,
      platform: PLATFORM,
      ...options.op,
    };
    return this.#add(op, [...(parent === undefined ? [] : [parent]), ...(options.inputs ?? [])], {
      instruction: `RUN ${command}`,
      stage: options.stage,
      cache: options.cache,
      argNames: options.argNames,
    });
  }

  /** Makes `COPY source destination`, from the context unless `from` is given. */
  copy(
    parent: Vertex | undefined,
    source: string,
    destination: string,
    options: {
      readonly from?: Vertex;
      readonly stage?: string;
      readonly excludes?: readonly string[];
      readonly cache?: "use" | "skip";
    } = {},
  ): Vertex {
    const input = parent === undefined ? 0 : 1;
    const action = plainCopy({
      input,
      source,
      destination,
      keepOwner: options.from !== undefined,
      link: parent === undefined,
    });
    const op: FileOp = { kind: "file", base: parent === undefined ? "scratch" : "input", actions: [action] };
    const from = options.from ?? this.local(options.excludes);
    return this.#add(op, [...(parent === undefined ? [] : [parent]), from], {
      instruction: `COPY ${source} ${destination}`,
      stage: options.stage,
      cache: options.cache,
    });
  }

  merge(...inputs: readonly Vertex[]): Vertex {
    return this.#add({ kind: "merge" }, inputs, { instruction: "LINK" });
  }

  graph(...targets: readonly Vertex[]): Graph {
    return { targets, meta: this.#meta };
  }

  deps(over: Partial<SolverDeps> = {}): SolverDeps & Disposable {
    const unexpected = (): never => {
      throw new Error("Not expected in this test");
    };
    const context = new LocalSource({
      native: this.native,
      directory: this.context,
      index: { load: () => undefined, save: () => undefined },
      nowNs: () => BigInt(Date.now()) * 1_000_000n,
    });
    return {
      store: this.store,
      native: this.native,
      snapshotter: this.snapshotter,
      runtime: this.#runtime(),
      images: this.#imageSource(),
      locals: new Map([["context", context]]),
      http: { find: unexpected },
      git: { find: unexpected },
      digests: {
        contentDigest: async (id, signal) => {
          this.hashed.push(id);
          const directory = this.snapshotter.pathOf(id);
          const { runs } = this.store.snapshots.get(id) ?? {};
          const { contentDigest } = await measureLayer(this.native, { directory, marks: "trusted", runs }, signal);
          this.store.snapshots.learn(id, { contentDigest });
          return contentDigest;
        },
      },
      secrets: { get: async () => undefined },
      ssh: { socket: async () => undefined },
      clock: { nowMs: () => (this.#nowMs += 1) },
      progress: (event) => this.events.push(event),
      ...over,
      [Symbol.dispose]: () => context[Symbol.dispose](),
    };
  }

  options(over: Partial<SolveOptions> = {}): SolveOptions {
    return {
      jobs: 4,
      exec: {
        proxyEnv: [],
        hostAddresses: [],
        limits: {},
        entitlements: new Set(),
        network: "default",
      },
      ...over,
    };
  }

  /** Lists the reasons reported for steps that ran since the events were last cleared. */
  reasons(): string[] {
    return this.events.flatMap((event) =>
      event.kind === "step-miss" ? [`${event.name.replace(/^\[.*?\] /, "")}: ${event.reason}`] : [],
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store[Symbol.asyncDispose]();
    if (this.#ownsDirectory) rmSync(this.directory, { recursive: true, force: true });
  }

  #add(op: Vertex["op"], inputs: readonly Vertex[], meta: WorkbenchMeta): Vertex {
    const made = vertex(op, inputs);
    if (this.#meta.get(made.digest)?.cache !== (meta.cache ?? "use")) {
      this.#meta.set(made.digest, {
        name: `[${meta.stage ?? "stage-0"}] ${meta.instruction}`,
        stage: meta.stage,
        instruction: meta.instruction,
        span: undefined,
        cache: meta.cache ?? "use",
        argNames: meta.argNames ?? [],
      });
    }
    return made;
  }

  #imageSource(): ImageSource {
    return {
      ask: async () => undefined,
      resolve: async () => {
        throw new Error("Not expected in this test");
      },
      stack: async ({ manifest }) => this.#images.get(manifest) ?? [],
      materialize: async (stack) => {
        this.materialized.push([...stack]);
        for (const id of stack) this.store.snapshots.markPresent(id);
      },
    };
  }

  #runtime(): Runtime {
    return {
      run: async (request, signal) => {
        const script = request.argv.at(-1) ?? "";
        this.ran.push(script);
        // A file records it, because all processes see that.
        appendFileSync(join(this.directory, "ran.log"), `${script}\n`);
        const { root, stdio } = request;
        const tops =
          root.kind === "overlay" ? [root.upper, ...root.lowers] : root.kind === "directory" ? [root.path] : [];
        const command = this.commands.get(script);
        if (command === undefined) throw new Error(`The test has no command ${script}`);
        const exitCode = await command({
          request,
          signal,
          write(path, text) {
            const target = join(tops[0] ?? "", path);
            mkdirSync(dirname(target), { recursive: true });
            writeFileSync(target, text);
          },
          setTime: (path, seconds) => utimesSync(join(tops[0] ?? "", path), seconds, seconds),
          read(path) {
            for (const top of tops) {
              try {
                return readFileSync(join(top, path), "utf8");
              } catch {
                continue;
              }
            }
            return undefined;
          },
          print(text) {
            if (stdio.kind === "pipes") stdio.onOutput("stdout", Buffer.from(text));
          },
        });
        return {
          exitCode: exitCode ?? 0,
          oomKilled: false,
          wallMs: 1,
          cpuMs: 1,
          readBytes: 1,
          writtenBytes: 1,
          peakMemoryBytes: undefined,
        };
      },
    };
  }
}

interface WorkbenchMeta {
  readonly instruction: string;
  readonly stage?: string | undefined;
  readonly cache?: "use" | "skip" | undefined;
  readonly argNames?: readonly string[] | undefined;
}
