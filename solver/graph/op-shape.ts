import type { Platform } from "../../lib/core/platform.ts";
import { FLAG, list, NUMBER, object, oneOf, optional, type Shape, tagged, TEXT } from "../../lib/core/shape.ts";
import type { ExecMount, ExecOp, LocalOp } from "./op.ts";

/*
 * Ops that are kept: a failed step's, for the shell where it failed. `undefined` members are not written.
 */

type Mount<Type extends ExecMount["type"]> = Extract<ExecMount, { readonly type: Type }>;

const platform = object<Platform>({
  os: TEXT,
  architecture: TEXT,
  variant: optional(TEXT),
  osVersion: optional(TEXT),
  osFeatures: optional(list(TEXT)),
});

const file = { permissions: NUMBER, uid: NUMBER, gid: NUMBER };

const execMount = tagged<ExecMount, "type">("type", {
  bind: object<Mount<"bind">>({
    type: oneOf("bind"),
    target: TEXT,
    input: NUMBER,
    source: TEXT,
    mode: oneOf("ro", "rw"),
  }),
  cache: object<Mount<"cache">>({
    type: oneOf("cache"),
    target: TEXT,
    id: TEXT,
    sharing: oneOf("shared", "private", "locked"),
    seed: optional(object<NonNullable<Mount<"cache">["seed"]>>({ input: NUMBER, source: TEXT })),
    mode: oneOf("ro", "rw"),
    ...file,
  }),
  tmpfs: object<Mount<"tmpfs">>({
    type: oneOf("tmpfs"),
    target: TEXT,
    sizeBytes: optional(NUMBER),
    mode: optional(oneOf("ro")),
  }),
  secret: object<Mount<"secret">>({
    type: oneOf("secret"),
    id: TEXT,
    target: optional(TEXT),
    env: optional(TEXT),
    required: FLAG,
    ...file,
  }),
  ssh: object<Mount<"ssh">>({ type: oneOf("ssh"), id: TEXT, target: TEXT, required: FLAG, ...file }),
});

export const execOpShape: Shape<ExecOp> = object<ExecOp>({
  kind: oneOf("exec"),
  argv: list(TEXT),
  env: list(list(TEXT)),
  cwd: TEXT,
  user: TEXT,
  hostname: optional(TEXT),
  network: oneOf("default", "none", "host"),
  security: oneOf("sandbox", "insecure"),
  scratchRoot: FLAG,
  mounts: list(execMount),
  shmSizeBytes: optional(NUMBER),
  ulimits: list(object<ExecOp["ulimits"][number]>({ name: TEXT, soft: NUMBER, hard: NUMBER })),
  extraHosts: list(TEXT),
  cgroupParent: optional(TEXT),
  platform,
});

export const localOpShape: Shape<LocalOp> = object<LocalOp>({
  kind: oneOf("local"),
  name: TEXT,
  excludes: list(TEXT),
  owners: optional(oneOf("kept")),
  uniformTime: optional(NUMBER),
});
