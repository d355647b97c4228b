/** Kinds of names that are read when they are asked for. */
export type NameKind = "image" | "stage" | "arg" | "target" | "service" | "variable" | "registry" | "code";

/** Values that may stand in a place: words, names of a kind, or paths. */
export interface Values {
  readonly words?: readonly string[];
  readonly names?: NameKind;
  readonly paths?: "files" | "folders";
  /** True when several may stand there, separated by commas. */
  readonly isList?: boolean;
}

const PROGRESS = ["auto", "tty", "plain", "quiet", "rawjson", "none"];
const PLATFORMS = [
  ...["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/arm/v6", "linux/386", "linux/ppc64le", "linux/s390x"],
  ...["linux/riscv64", "linux/loong64"],
];
const SWITCH = ["true", "false"];

/** Values by a flag's long name; `command flag` where a command has its own. */
export const FLAG_VALUES: Readonly<Record<string, Values>> = {
  "--add-host": { words: [] },
  "--allow": {
    words: ["network.host", "security.insecure", "buildx.local.delete", "ssh", "fs=", "fs.read=", "fs.write="],
    isList: true,
  },
  "--arch": { words: PLATFORMS.map((platform) => platform.split("/")[1] ?? "") },
  "--attest": { words: ["type=provenance", "type=sbom"] },
  "--attest-style": { words: ["index", "referrers"] },
  "--authfile": { paths: "files" },
  "--build-arg": { names: "arg" },
  "--build-context": { paths: "folders" },
  "--cache-from": { words: ["type=registry,ref=", "type=local,src=", "type=s3,bucket=", "type=gha"], names: "image" },
  "--cache-mode": { words: ["read", "read-write", "off"] },
  "--cache-to": {
    words: ["type=registry,ref=", "type=local,dest=", "type=inline", "type=s3,bucket=", "type=gha"],
  },
  "--cache-trust": { paths: "files" },
  "--call": { words: ["build", "check", "outline", "targets", "subrequests.describe"] },
  "--cap-add": { words: ["ALL", "NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE", "SYS_TIME", "IPC_LOCK"] },
  "--cap-drop": { words: ["ALL", "CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "MKNOD", "NET_RAW", "SETGID", "SETUID"] },
  "--compression": { words: ["gzip", "zstd", "uncompressed", "estargz"] },
  "--env": { names: "variable" },
  "--env-file": { paths: "files" },
  "--expect-cached": { names: "stage", isList: true },
  "--explain": { words: ["text", "json"] },
  "--file": { paths: "files" },
  "--iidfile": { paths: "files" },
  "--load": { words: ["docker", "podman", "containerd"] },
  "--lock": { paths: "files" },
  "--metadata-file": { paths: "files" },
  "--network": { words: ["default", "none", "host", "sandbox"] },
  "--no-cache-filter": { names: "stage", isList: true },
  "--on-error": { words: ["keep", "shell"] },
  "--os": { words: ["linux", "windows"] },
  "--output": {
    words: ["type=image", "type=registry", "type=oci,dest=", "type=docker", "type=local,dest=", "type=tar,dest="],
    paths: "files",
  },
  "--platform": { words: PLATFORMS, isList: true },
  "--progress": { words: PROGRESS },
  "--provenance": { words: [...SWITCH, "mode=min", "mode=max"] },
  "--pull": { words: ["always", "missing", "newer", "never"] },
  "--resource": { words: ["memory=", "memory-swap=", "cpu-shares=", "cpu-period=", "cpu-quota=", "cpuset-cpus="] },
  "--root": { paths: "folders" },
  "--sbom": { words: SWITCH },
  "--secret": { words: ["id="] },
  "--ssh": { words: ["default"] },
  "--tag": { names: "image" },
  "--target": { names: "stage" },
  "--volume": { paths: "folders" },
  "--security-opt": { words: ["no-new-privileges", "seccomp=unconfined"] },
  "--ulimit": { words: ["nofile=", "nproc=", "core=", "memlock=", "stack="] },
  "run --mount": { words: ["type=bind,source=", "type=tmpfs,target="] },
  "run --pull": { words: ["always", "missing", "never"] },
  "bake --list": { words: ["targets", "variables"] },
};

/** Kinds of arguments, by the command's name; of `cp`, `diff` and `tag` each. */
export const OPERANDS: Readonly<Record<string, Values>> = {
  build: { paths: "folders" },
  bake: { names: "target" },
  "compose-build": { names: "service" },
  completion: { words: ["bash", "zsh", "fish", "table"] },
  cp: { names: "image", paths: "files" },
  explain: { names: "code" },
  export: { names: "image" },
  history: { names: "image" },
  import: { paths: "files" },
  inspect: { names: "image" },
  login: { names: "registry" },
  logout: { names: "registry" },
  ls: { names: "image" },
  pull: { names: "image" },
  push: { names: "image" },
  rmi: { names: "image" },
  run: { names: "image" },
  save: { names: "image" },
  sbom: { names: "image" },
  sign: { names: "image" },
  size: { names: "image" },
  tag: { names: "image" },
  diff: { names: "image" },
  copy: { names: "image" },
  verify: { names: "image" },
  "imagetools-create": { names: "image" },
  "imagetools-inspect": { names: "image" },
};
