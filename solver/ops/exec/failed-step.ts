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
 * A failed command, as plain data: everything needed to open a shell in its place, without the values of secrets and
 * proxy settings.
 */
export type FailedStep = {
  /** Id for people, and of the layer with the command's changes. */
  readonly id: SnapshotId;
  /** Display name, `[build 2/5] RUN make`. */
  readonly name: string;
  readonly op: ExecOp;
  /** The tree below, lowest layer first, without the step's own layer. */
  readonly parent: Stack;
  /** Inputs by index in the vertex; `null` for those that no mount uses. */
  readonly inputs: readonly ({ readonly tree: InputTree; readonly key: string } | null)[];
  /** Host directories of local inputs, by name. */
  readonly directories: Readonly<Record<string, string>>;
  readonly network: "default" | "none" | "host" | "sandbox";
  readonly limits: ResourceLimits;
  /** Addresses of the `extraHosts` names. Absent in records of older versions. */
  readonly addresses?: readonly HostAddress[];
  readonly exitCode: number;
  readonly failedAtMs: number;
};

const inputTree = tagged<InputTree, "kind">("kind", {
  local: object<Extract<InputTree, { readonly kind: "local" }>>({ kind: oneOf("local"), op: localOpShape }),
  stack: object<Extract<InputTree, { readonly kind: "stack" }>>({ kind: oneOf("stack"), stack: list(snapshotIdShape) }),
});

/** Schema of the stored list; `undefined` members are not written. */
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

/** Number of failed steps that are kept. Their trees hold only the command's own changes. */
const KEPT = 3;
const KIND = "failed-steps";

/** Lists the kept steps, newest first. Garbage collection may have removed their files. */
export function failedSteps(store: Store): readonly FailedStep[] {
  const fact = store.facts.get(KIND, "");
  return (fact === undefined ? undefined : recallAs(FAILED_STEPS, fact.value)) ?? [];
}

/**
 * Keeps a step and drops the oldest. Its snapshot has no row: to `kiln prune` it is garbage. When two processes do this
 * concurrently, one step is forgotten, and its files are garbage at once.
 */
export async function keepFailedStep(step: FailedStep, store: Store, snapshotter: Snapshotter): Promise<void> {
  const all = [step, ...failedSteps(store)];
  store.facts.set(KIND, "", { value: Buffer.from(JSON.stringify(all.slice(0, KEPT))) });
  for (const old of all.slice(KEPT)) {
    using lease = store.leases.tryAcquire(leaseOf(old.id));
    // A shell is open in it: garbage collection will find it later.
    if (lease !== undefined) await snapshotter.remove(old.id);
  }
}

/** Returns the lease of a failed step's files, held while a shell is open in them. */
export function leaseOf(id: SnapshotId): string {
  return `failed step ${id}`;
}
