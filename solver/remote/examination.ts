import { BuildError } from "../../lib/core/errors.ts";
import { FLAG, list, mapOf, NUMBER, object, oneOf, optional, readJsonAs, TEXT } from "../../lib/core/shape.ts";

/** Name of the file that an examined worker leaves, relative to its action's folder. */
export const EXAMINATION_FILE = "out/examination.json";

/** What a machine can do for builds, as `kiln doctor` tried it. */
export type MachineReport = {
  /** False where no RUN works. */
  readonly isUsable: boolean;
  /** Name of the row in docs/rootless.md. */
  readonly isolation: "root" | "subordinate-ids" | "single-id" | "chroot" | "none";
  /** Parts of a sandbox that steps do without. */
  readonly without: readonly string[];
  /** The store's directory. */
  readonly root: string;
  readonly checks: readonly {
    readonly name: string;
    readonly ok: boolean;
    /** The observation, in a few words. */
    readonly detail: string;
    readonly fix?: string | undefined;
  }[];
  /** What refuses something, with a line for each place that can allow it: `docker`, `kubernetes`. */
  readonly causes: readonly { readonly cause: string; readonly fixes: Readonly<Record<string, string>> }[];
};

/** A worker's report about its machine. */
export type Examination = {
  readonly version: 1;
  readonly kiln: string;
  /** `linux/amd64`. */
  readonly platform: string;
  readonly kernel: string;
  readonly processors: number;
  /** False for a store that ends with each step: then every step unpacks its base anew. */
  readonly hasSharedStore: boolean;
  readonly report: MachineReport;
};

const examination = object<Examination>({
  version: oneOf(1),
  kiln: TEXT,
  platform: TEXT,
  kernel: TEXT,
  processors: NUMBER,
  hasSharedStore: FLAG,
  report: object<MachineReport>({
    isUsable: FLAG,
    isolation: oneOf("root", "subordinate-ids", "single-id", "chroot", "none"),
    without: list(TEXT),
    root: TEXT,
    checks: list(object<MachineReport["checks"][number]>({ name: TEXT, ok: FLAG, detail: TEXT, fix: optional(TEXT) })),
    causes: list(object<MachineReport["causes"][number]>({ cause: TEXT, fixes: mapOf(TEXT) })),
  }),
});

/**
 * Reads a worker's report, which comes from a machine that need not be honest.
 * @throws {BuildError} `remote/failed`
 */
export function readExamination(json: string): Examination {
  return readJsonAs(
    examination,
    json,
    (why) => new BuildError("remote/failed", `Cannot use a worker's report: ${why}`),
  );
}
