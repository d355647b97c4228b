import {
  list,
  mapOf,
  nullable,
  NUMBER,
  object,
  oneOf,
  optional,
  recallAs,
  tagged,
  TEXT,
} from "../../../lib/core/shape.ts";
import type { Store } from "../../../lib/store/store.ts";
import type { SnapshotId } from "../../../lib/store/model.ts";
import { snapshotIdShape } from "../../../lib/store/snapshot-id.ts";
import type { ExecOp } from "../../graph/op.ts";
import { execOpShape, localOpShape } from "../../graph/op-shape.ts";
import type { HostAddress, ResourceLimits, Snapshotter, Stack } from "../../ports.ts";
import type { InputTree } from "../file/file-work.ts";

/**
 * A command that failed, as plain data: everything it takes to stand where it stood. Values of secrets and proxy settings are
 * not in it.
 */
export type FailedStep = {
  /** Names the step for people; also the layer with what the command had written. */
  readonly id: SnapshotId;
  /** As displayed, `[build 2/5] RUN make`. */
  readonly name: string;
  readonly op: ExecOp;
  /** The tree it ran on, lowest layer first, without its own layer. */
  readonly parent: Stack;
  /** By index of the vertex's inputs; `null` for those that its mounts do not use. */
  readonly inputs: readonly ({ readonly tree: InputTree; readonly key: string } | null)[];
  /** Host directories of local inputs, by name. */
  readonly directories: Readonly<Record<string, string>>;
  readonly network: "default" | "none" | "host" | "sandbox";
  readonly limits: ResourceLimits;
  /** Addresses of the `extraHosts` names. Steps that an older version kept have none. */
  readonly addresses?: readonly HostAddress[];
  readonly exitCode: number;
  readonly failedAtMs: number;
};

const inputTree = tagged<InputTree, "kind">("kind", {
  local: object<Extract<InputTree, { readonly kind: "local" }>>({ kind: oneOf("local"), op: localOpShape }),
  stack: object<Extract<InputTree, { readonly kind: "stack" }>>({ kind: oneOf("stack"), stack: list(snapshotIdShape) }),
});

/** Steps as they are kept; `undefined` members are not written. */
const FAILED_STEPS = list(
  object<FailedStep>({
    id: snapshotIdShape,
    name: TEXT,
    op: execOpShape,
    parent: list(snapshotIdShape),
    inputs: list(nullable(object<NonNullable<FailedStep["inputs"][number]>>({ tree: inputTree, key: TEXT }))),
    directories: mapOf(TEXT),
    network: oneOf("default", "none", "host", "sandbox"),
    limits: object<ResourceLimits>({
      memoryBytes: optional(NUMBER),
      memorySwapBytes: optional(NUMBER),
      cpuShares: optional(NUMBER),
      cpuPeriodUs: optional(NUMBER),
      cpuQuotaUs: optional(NUMBER),
      cpusetCpus: optional(TEXT),
      cpusetMems: optional(TEXT),
    }),
    addresses: optional(list(object<HostAddress>({ name: TEXT, address: TEXT }))),
    exitCode: NUMBER,
    failedAtMs: NUMBER,
  }),
);

/** How many failed steps are kept. Their trees hold only what the command itself wrote. */
const KEPT = 3;
const KIND = "failed-steps";

/** The steps that are kept, newest first. Garbage collection may have taken their files. */
export function failedSteps(store: Store): readonly FailedStep[] {
  const fact = store.facts.get(KIND, "");
  return (fact === undefined ? undefined : recallAs(FAILED_STEPS, fact.value)) ?? [];
}

/**
 * Keeps a step and lets go of the oldest. Its snapshot has no row: to `kiln prune` it is garbage. Of two processes that do
 * this at the same time one is forgotten, and its files are then garbage at once.
 */
export async function keepFailedStep(step: FailedStep, store: Store, snapshotter: Snapshotter): Promise<void> {
  const all = [step, ...failedSteps(store)];
  store.facts.set(KIND, "", { value: Buffer.from(JSON.stringify(all.slice(0, KEPT))) });
  for (const old of all.slice(KEPT)) {
    using lease = store.leases.tryAcquire(leaseOf(old.id));
    // Somebody has a shell in it: garbage collection will find it later.
    if (lease !== undefined) await snapshotter.remove(old.id);
  }
}

/** What is held while somebody looks at a failed step's files. */
export function leaseOf(id: SnapshotId): string {
  return `failed step ${id}`;
}
