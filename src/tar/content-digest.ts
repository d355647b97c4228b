import { type Digest, Digester } from "../core/digest.ts";
import { encodeName } from "../native/names.ts";
import type { EntryType } from "./entry.ts";

/** What counts of a file: everything a container can see but times. `digest` is the sha256 of its bytes, raw. */
export interface ContentEntry {
  /** Relative to the tree's root, no `/` at the ends. */
  readonly path: string;
  /** `whiteout` hides a path of a lower layer; `opaque` hides all that lower layers have in the directory `path`. */
  readonly type: EntryType | "whiteout" | "opaque";
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Target of a symlink; path of the first name of a hard-linked file. */
  readonly linkName: string;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly digest: Buffer | undefined;
  /** Sorted by name; only those for which `countsXattr` is true. */
  readonly xattrs: readonly (readonly [name: string, value: Buffer])[];
}

/** Raise when the meaning of a digest changes, so that stored ones are never matched. */
const FORMAT = "content/1\n";

/** Which attributes are content: all but labels and lists that the host's policy puts there. As BuildKit's contenthash. */
export function countsXattr(name: string): boolean {
  if (name === "security.capability") return true;
  return !/^(?:security|system|trusted)\./.test(name) && !name.startsWith("user.overlay.");
}

/**
 * The digest of a layer's or tree's content: feed entries in the order of a scan (directories first, names in byte order), each
 * once. Two trees with the same digest cannot be told apart by a step that does not look at times.
 */
export class ContentDigester {
  readonly #digester = new Digester().update(FORMAT);
  #pending: (string | Buffer)[] = [];
  #isText = true;

  add(entry: ContentEntry): void {
    // Every part ends in a NUL, which names cannot hold; numbers before it are decimal; attribute values carry their length.
    const mode = entry.type === "symlink" ? 0o777 : entry.mode;
    const numbers = `${mode} ${entry.uid} ${entry.gid} ${entry.size} ${entry.deviceMajor} ${entry.deviceMinor}`;
    const hex = entry.digest === undefined ? "" : entry.digest.toString("hex");
    this.#push(`${entry.type} ${numbers} ${hex}\0${entry.path}\0${entry.linkName}\0${entry.xattrs.length}\0`);
    for (const [name, value] of entry.xattrs) {
      this.#push(`${name}\0${value.length}\0`);
      this.#isText = false;
      this.#pending.push(value);
    }
    if (this.#pending.length >= 256) this.#flush();
  }

  digest(): Digest {
    this.#flush();
    return this.#digester.digest();
  }

  #push(text: string): void {
    this.#isText &&= text.isWellFormed();
    this.#pending.push(text);
  }

  #flush(): void {
    if (this.#isText) this.#digester.update(this.#pending.join(""));
    else for (const part of this.#pending) this.#digester.update(typeof part === "string" ? encodeName(part) : part);
    this.#pending = [];
    this.#isText = true;
  }
}
