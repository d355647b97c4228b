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

/**
 * Writes what kiln-runtime reads (solver/runtime/program/directives.c): NUL-terminated strings, with the length of it all in
 * front. A string with a NUL in it would be two, so it is refused; the kernel could not pass it to a command either.
 */
export class PlanWriter {
  readonly #parts: Uint8Array[] = [];
  #text = "";

  /**
   * A directive and its arguments.
   * @throws {BuildError} `runtime/failed`, without the text: it may be a secret.
   */
  add(name: string, ...values: readonly (string | number | bigint)[]): this {
    for (const value of [name, ...values]) {
      const text = String(value);
      if (text.includes("\0")) throw nulByte(name, text);
      this.#text += `${text}\0`;
    }
    return this;
  }

  /** A directive whose last argument is bytes. */
  addBytes(name: string, values: readonly (string | number)[], data: Uint8Array): this {
    this.add(name, ...values, data.length);
    this.#flush();
    this.#parts.push(data, new Uint8Array(1));
    return this;
  }

  finish(): Uint8Array {
    this.#flush();
    const size = this.#parts.reduce((sum, part) => sum + part.length, 0);
    return Buffer.concat([Buffer.from(`${size}\n`), ...this.#parts]);
  }

  #flush(): void {
    if (this.#text === "") return;
    this.#parts.push(Buffer.from(this.#text));
    this.#text = "";
  }
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
