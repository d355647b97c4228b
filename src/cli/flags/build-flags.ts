import type { AcceptedFlags } from "./accepted.ts";
import type { RemoteFlags } from "./remote.ts";
import { FLAG, list, object, optional, TEXT } from "../../../lib/core/shape.ts";

/** The flags as commander reads them. Lists are there even when empty. */
export interface BuildFlags extends AcceptedFlags, RemoteFlags {
  readonly file?: string;
  readonly tag: readonly string[];
  readonly target?: string;
  readonly platform: readonly string[];
  readonly buildArg: readonly string[];
  readonly buildContext: readonly string[];
  readonly label: readonly string[];
  readonly annotation: readonly string[];
  readonly output: readonly string[];
  readonly load?: string;
  readonly push?: boolean;
  readonly cache: boolean;
  readonly noCacheFilter: readonly string[];
  readonly cacheFrom: readonly string[];
  readonly cacheTo: readonly string[];
  readonly cacheMode?: string;
  readonly cacheTrust: readonly string[];
  readonly pull?: boolean;
  readonly pullPolicy?: string;
  readonly pullTtl?: string;
  readonly offline?: boolean;
  readonly authfile?: string;
  readonly secret: readonly string[];
  readonly ssh: readonly string[];
  readonly network?: string;
  readonly allow: readonly string[];
  readonly addHost: readonly string[];
  readonly ulimit: readonly string[];
  readonly shmSize?: string;
  readonly cgroupParent?: string;
  readonly resource: readonly string[];
  readonly jobs?: string;
  readonly onError?: string;
  readonly artifact?: readonly string[];
  readonly reproducible?: boolean;
  readonly verify?: boolean;
  readonly squash?: boolean;
  readonly lock?: string;
  readonly locked?: boolean;
  readonly expectCached?: string;
  readonly explain?: string;
  readonly summary?: string;
  readonly progress?: string;
  readonly trace?: string;
  readonly quiet?: boolean;
  readonly iidfile?: string;
  readonly metadataFile?: string;
  readonly call?: string;
  readonly check?: boolean;
}

type Named<T> = { [Name in keyof T as string extends Name ? never : Name]: T[Name] };

/** Shape of the declared flags. A flag that is declared and read as two types is a mistake of ours. */
export const buildFlagsShape = object<Named<BuildFlags>>({
  file: optional(TEXT),
  tag: list(TEXT),
  target: optional(TEXT),
  platform: list(TEXT),
  buildArg: list(TEXT),
  buildContext: list(TEXT),
  label: list(TEXT),
  annotation: list(TEXT),
  output: list(TEXT),
  load: optional(TEXT),
  push: optional(FLAG),
  cache: FLAG,
  noCacheFilter: list(TEXT),
  cacheFrom: list(TEXT),
  cacheTo: list(TEXT),
  cacheMode: optional(TEXT),
  cacheTrust: list(TEXT),
  pull: optional(FLAG),
  pullPolicy: optional(TEXT),
  pullTtl: optional(TEXT),
  offline: optional(FLAG),
  authfile: optional(TEXT),
  secret: list(TEXT),
  ssh: list(TEXT),
  network: optional(TEXT),
  allow: list(TEXT),
  addHost: list(TEXT),
  ulimit: list(TEXT),
  shmSize: optional(TEXT),
  cgroupParent: optional(TEXT),
  resource: list(TEXT),
  jobs: optional(TEXT),
  remote: optional(TEXT),
  remoteHeader: list(TEXT),
  remoteCert: optional(TEXT),
  remoteKey: optional(TEXT),
  remoteCa: optional(TEXT),
  remoteJobs: optional(TEXT),
  remoteProperty: list(TEXT),
  remoteFallback: optional(TEXT),
  onError: optional(TEXT),
  artifact: optional(list(TEXT)),
  reproducible: optional(FLAG),
  verify: optional(FLAG),
  squash: optional(FLAG),
  lock: optional(TEXT),
  locked: optional(FLAG),
  expectCached: optional(TEXT),
  explain: optional(TEXT),
  summary: optional(TEXT),
  progress: optional(TEXT),
  trace: optional(TEXT),
  quiet: optional(FLAG),
  iidfile: optional(TEXT),
  metadataFile: optional(TEXT),
  call: optional(TEXT),
  check: optional(FLAG),
  attest: optional(list(TEXT)),
  provenance: optional(TEXT),
  sbom: optional(TEXT),
  attestStyle: optional(TEXT),
  policy: optional(list(TEXT)),
  device: optional(list(TEXT)),
  print: optional(TEXT),
});
