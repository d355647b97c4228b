import { spawnSync } from "node:child_process";
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Builder, type BuilderName, registry } from "./builders.ts";

/** A timed command that is no plain build. */
export interface Transfer {
  readonly name: string;
  readonly budget: string;
  readonly runs: number;
  /** Puts into the registry what the commands need. */
  prepare(kiln: Builder, work: string): void;
  /** Is not timed: brings the builder to the state in which the command is timed. */
  reset?(builder: Builder, work: string, round: number): void;
  readonly commands: Partial<Record<BuilderName, (builder: Builder, work: string, round: number) => readonly string[]>>;
}

const TEN = `${registry}/bench-ten:latest`;
const THREE = `${registry}/bench-three:latest`;

/** Ten layers of 30 MB: half of each is random, half is text. */
const tenLayers = [
  `FROM ${registry}/busybox:latest`,
  ...Array.from(
    { length: 10 },
    (_, n) =>
      `RUN mkdir /l${n} && dd if=/dev/urandom of=/l${n}/random bs=1M count=15 2>/dev/null && seq ${n}000000 9000000 | head -c 15728640 > /l${n}/text`,
  ),
].join("\n");

/** Three layers of 20 MB, whose contents name the platform. No command runs, so that no emulator is needed. */
const threePlatforms = `FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH/ /\n`;

const PLATFORMS = ["amd64", "arm64", "s390x"];

function run(program: string, args: readonly string[], input?: string): void {
  const { status, stderr } = spawnSync(program, args, {
    ...(input === undefined ? {} : { input }),
    stdio: ["pipe", "ignore", "pipe"],
  });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${String(stderr)}`);
}

function buildAndPush(kiln: Builder, work: string, name: string, dockerfile: string): void {
  run(kiln.program, ["--root", join(work, "prepared"), "build", "-q", "--push", "-t", name, "-"], dockerfile);
}

export const TRANSFERS: readonly Transfer[] = [
  {
    name: "pull of 10 layers, 300 MB",
    budget: "0.40x",
    runs: 3,
    prepare: (kiln, work) => buildAndPush(kiln, work, TEN, tenLayers),
    reset({ name, program }, work) {
      if (name === "kiln") rmSync(join(work, "pulled"), { recursive: true, force: true });
      else if (name === "buildkit") spawnSync(program, ["image", "rm", "-f", TEN], { stdio: "ignore" });
      else spawnSync(program, ["rmi", "-f", TEN], { stdio: "ignore" });
    },
    commands: {
      kiln: ({ program }, work) => [program, "--root", join(work, "pulled"), "pull", "-q", TEN],
      buildkit: ({ program }) => [program, "pull", "-q", TEN],
      buildah: ({ program }) => [program, "pull", "-q", "--tls-verify=false", TEN],
    },
  },
  {
    name: "one changed file, into docker's engine",
    budget: "0.40 s",
    runs: 8,
    prepare(_kiln, work) {
      const context = join(work, "into-docker");
      mkdirSync(context, { recursive: true });
      writeFileSync(join(context, "app.js"), "\n");
      writeFileSync(join(context, "Dockerfile"), `FROM ${registry}/busybox:latest\nRUN mkdir /deps\nCOPY app.js /\n`);
    },
    reset: (_builder, work, round) => appendFileSync(join(work, "into-docker/app.js"), `${round} ${Date.now()}\n`),
    commands: {
      kiln: ({ program }, work) => [
        ...[program, "--root", join(work, "loading"), "build", "-q", "--load=docker", "-t", "bench-into-kiln"],
        join(work, "into-docker"),
      ],
      buildkit: ({ program }, work) => [
        ...[program, "buildx", "build", "-q", "--network", "host", "--provenance=false", "--load"],
        ...["-t", "bench-into-docker", join(work, "into-docker")],
      ],
    },
  },
  {
    name: "copy of an index of three platforms, 60 MB",
    budget: "0.70x",
    runs: 5,
    prepare(kiln, work) {
      const context = join(work, "three");
      for (const platform of PLATFORMS) {
        run("mkdir", ["-p", join(context, platform)]);
        run("dd", ["if=/dev/urandom", `of=${join(context, platform, "file")}`, "bs=1M", "count=20"]);
      }
      run(
        kiln.program,
        [
          ...["--root", join(work, "prepared"), "build", "-q", "--push", "-t", THREE, "-f", "-"],
          ...["--platform", PLATFORMS.map((platform) => `linux/${platform}`).join(","), context],
        ],
        threePlatforms,
      );
    },
    commands: {
      kiln: ({ program }, work, round) => [
        ...[program, "--root", join(work, "copied"), "copy", "-q"],
        ...[THREE, `${registry}/bench-copy-kiln-${process.pid}-${round}:latest`],
      ],
      skopeo: ({ program }, _work, round) => [
        ...[program, "copy", "-q", "--all", "--src-tls-verify=false", "--dest-tls-verify=false"],
        ...[`docker://${THREE}`, `docker://${registry}/bench-copy-skopeo-${process.pid}-${round}:latest`],
      ],
    },
  },
];
