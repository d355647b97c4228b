import { BuildError } from "../../lib/core/errors.ts";

/** Flags of one mount, as MOUNT_ATTR_* of mount_setattr(2). The last one is ours: runtime.h, ATTR_NODEV_UNLESS_FILTERED. */
export const MOUNT_ATTRIBUTES = {
  readOnly: 1,
  noSuid: 2,
  noDev: 4,
  noExec: 8,
  strictAtime: 0x20,
  noDevUnlessFiltered: 0x4000_0000,
} as const;

/** One order to kiln-runtime (solver/runtime/program/directives.c). */
export interface Directive {
  readonly name: string;
  readonly values: readonly (string | number | bigint)[];
  /** A last argument that is bytes. */
  readonly data?: Uint8Array | undefined;
  /** True for text without secrets; of other bytes, such as a secret's, a dump shows the size only. */
  readonly isPublicText?: boolean | undefined;
}

/** Collects directives. */
export class PlanWriter {
  readonly #directives: Directive[] = [];

  get directives(): readonly Directive[] {
    return this.#directives;
  }

  /** Adds a directive and its arguments. */
  add(name: string, ...values: Directive["values"]): this {
    this.#directives.push({ name, values });
    return this;
  }

  /** Adds a directive with bytes as its last argument. */
  addBytes(name: string, values: Directive["values"], data: Uint8Array): this {
    this.#directives.push({ name, values, data });
    return this;
  }

  /** Adds a directive with a text without secrets as its last argument. */
  addText(name: string, values: Directive["values"], text: string): this {
    this.#directives.push({ name, values, data: Buffer.from(text), isPublicText: true });
    return this;
  }
}

/**
 * Encodes directives as kiln-runtime reads them: NUL-terminated strings, with the length of it all in front. A string with a
 * NUL in it would be two, so it is refused; the kernel could not pass it to a command either.
 * @throws {BuildError} `runtime/failed`, without the text: it may be a secret.
 */
export function encodePlan(directives: readonly Directive[]): Uint8Array {
  const parts: Uint8Array[] = [];
  let text = "";
  for (const { name, values, data } of directives) {
    for (const value of data === undefined ? [name, ...values] : [name, ...values, data.length]) {
      const word = String(value);
      if (word.includes("\0")) throw nulByte(name, word);
      text += `${word}\0`;
    }
    if (data === undefined) continue;
    parts.push(Buffer.from(text), data, new Uint8Array(1));
    text = "";
  }
  parts.push(Buffer.from(text));
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([Buffer.from(`${size}\n`), ...parts]);
}

function nulByte(directive: string, text: string): BuildError {
  const what = {
    arg: "a word of the command",
    env: `the variable ${JSON.stringify(text.slice(0, text.search(/[=\0]/)))}`,
    cwd: "the working directory",
  }[directive];
  return new BuildError(
    "runtime/failed",
    `Cannot start the command: ${what ?? `a ${directive} of it`} has a NUL byte in it`,
    {
      hint: "programs take texts that end at the first NUL; give binary data as a file, as with RUN --mount=type=secret,id=...,target=...",
    },
  );
}
