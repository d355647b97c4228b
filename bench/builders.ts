import { spawnSync } from "node:child_process";
import { join } from "node:path";

export type BuilderName = "kiln" | "buildkit" | "buildah" | "skopeo";

/** A program that is timed. Where it has a daemon, the daemon's processes count too. */
export interface Builder {
  readonly name: BuilderName;
  readonly program: string;
  /** Names of processes (`/proc/PID/comm`) that work for it in the background. */
  readonly daemons: readonly string[];
  /** The version as the program prints it. */
  readonly version: string;
}

const home = join(import.meta.dirname, "..");

/** The registry that all builders reach over HTTP. It has to hold busybox:latest. */
export const registry = process.env["KILN_BENCH_REGISTRY"] ?? "localhost:5000";

const PROGRAMS: readonly (Pick<Builder, "name" | "daemons"> & {
  readonly variable: string;
  readonly fallback: string;
  readonly versionArguments: readonly string[];
})[] = [
  {
    name: "kiln",
    variable: "KILN_BENCH_KILN",
    fallback: join(home, "bin/kiln"),
    daemons: [],
    versionArguments: ["--version"],
  },
  {
    name: "buildkit",
    variable: "KILN_BENCH_DOCKER",
    fallback: "docker",
    daemons: ["dockerd", "containerd", "buildkitd"],
    versionArguments: ["version", "--format", "docker {{.Server.Version}}"],
  },
  {
    name: "buildah",
    variable: "KILN_BENCH_BUILDAH",
    fallback: "buildah",
    daemons: [],
    versionArguments: ["--version"],
  },
  {
    name: "skopeo",
    variable: "KILN_BENCH_SKOPEO",
    fallback: "skopeo",
    daemons: [],
    versionArguments: ["--version"],
  },
];

/** Finds the builders that answer. `missing` has one sentence for each of the others. */
export function findBuilders(): { readonly builders: readonly Builder[]; readonly missing: readonly string[] } {
  const builders: Builder[] = [];
  const missing: string[] = [];
  for (const { name, variable, fallback, daemons, versionArguments } of PROGRAMS) {
    const program = process.env[variable] ?? fallback;
    const { status, stdout, stderr, error } = spawnSync(program, versionArguments, {
      encoding: "utf8",
      timeout: 10_000,
    });
    if (status === 0) {
      builders.push({ name, program, daemons, version: stdout.trim().split("\n")[0] ?? "" });
    } else {
      const reason = error?.message ?? (stderr.trim().split("\n")[0] || `exit status ${status}`);
      missing.push(`${name} is not timed: ${program} does not answer (${reason}); ${variable} names another program`);
    }
  }
  return { builders, missing };
}

export interface BuildOptions {
  readonly cache: "use" | "skip";
  /** Pushes the result to the registry with this compression instead of keeping it. */
  readonly push?: "gzip" | "zstd" | undefined;
}

/** Returns the command that builds the context in `directory`; undefined when the builder has none. */
export function buildCommand(
  { name, program }: Builder,
  directory: string,
  store: string,
  { cache, push }: BuildOptions,
): readonly string[] | undefined {
  const shared = ["--build-arg", `BASE=${registry}/busybox:latest`, ...(cache === "skip" ? ["--no-cache"] : [])];
  if (name === "kiln") {
    // A name by -t would be pushed too.
    const output = push
      ? ["-o", `type=registry,name=${registry}/bench-kiln,compression=${push}`]
      : ["-t", "bench-kiln"];
    return [program, "--root", store, "build", "-q", ...shared, ...output, directory];
  }
  if (name === "buildkit") {
    const attributes = `push=true,compression=${push},oci-mediatypes=true`;
    const output = push ? ["-o", `type=image,name=${registry}/bench-buildkit,${attributes}`] : ["-t", "bench-buildkit"];
    return [
      program,
      "buildx",
      "build",
      "-q",
      "--network",
      "host",
      "--provenance=false",
      ...shared,
      ...output,
      directory,
    ];
  }
  if (name === "buildah" && push === undefined) {
    const own = ["--layers", "--network", "host", "--isolation", "oci", "-t", "bench-buildah"];
    return [program, "build", "-q", ...own, ...shared, directory];
  }
  return undefined;
}
