import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Records of owners beyond the ids of a user namespace that has many: their directory, and the last ids, which mark such files. */
export interface OwnersBeyond {
  readonly directory: string;
  readonly uid: number;
  readonly gid: number;
}

/**
 * `noted`: nothing is written down yet, so only the calls are stopped that would need it. `kept`: files may have records, and calls
 * about files are stopped too.
 */
export type OwnersState = "noted" | "kept";

/** Name of the file that is there once a record was written. The addon makes it too (lib/native/owners.c). */
const KEPT = "kept";

export function stateOf({ directory }: OwnersBeyond): OwnersState {
  return existsSync(join(directory, KEPT)) ? "kept" : "noted";
}

export function beginKeeping({ directory }: OwnersBeyond): void {
  writeFileSync(join(directory, KEPT), "");
}
