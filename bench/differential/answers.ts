import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Case } from "./cases.ts";

/** BuildKit's results of cases, stored by all inputs of the case. BuildKit's answers never change and take minutes. */
export class Answers<Answer> {
  readonly #file: string | undefined;
  readonly #context: string;
  readonly #kept: Record<string, Answer>;

  /**
   * `file` keeps the answers from run to run; `folder` holds the shared context and the script that makes the rest of
   * it.
   */
  constructor(file: string | undefined, folder: string) {
    this.#file = file;
    this.#context = digestOf([join(folder, "context"), join(folder, "setup.sh")]);
    const isKept = file !== undefined && existsSync(file);
    this.#kept = isKept ? (JSON.parse(readFileSync(file, "utf8")) as Record<string, Answer>) : {};
  }

  get(one: Case): Answer | undefined {
    return this.#kept[this.#keyOf(one)];
  }

  set(one: Case, answer: Answer): void {
    this.#kept[this.#keyOf(one)] = answer;
  }

  save(): void {
    if (this.#file !== undefined) writeFileSync(this.#file, JSON.stringify(this.#kept));
  }

  #keyOf(one: Case): string {
    const given = { ...one, name: "", meant: "", newer: undefined };
    return createHash("sha256").update(this.#context).update(JSON.stringify(given)).digest("hex").slice(0, 24);
  }
}

/** Computes a digest of names and contents of files, and of everything below folders. */
function digestOf(paths: readonly string[]): string {
  const hash = createHash("sha256");
  for (const path of paths.filter((one) => existsSync(one))) {
    const below = statSync(path).isDirectory()
      ? readdirSync(path, { recursive: true, encoding: "utf8" }).toSorted()
      : [""];
    for (const name of below) {
      hash.update(`${name}\0`);
      if (statSync(join(path, name)).isFile()) hash.update(readFileSync(join(path, name)));
    }
  }
  return hash.digest("hex");
}
