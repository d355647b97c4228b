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
 * Writes what kiln-runtime reads (solver/runtime/directives.c): NUL-terminated strings, with the length of it all in
 * front. A string of ours that has a NUL in it would be two, so it is refused.
 */
export class PlanWriter {
  readonly #parts: Uint8Array[] = [];
  #text = "";

  /** A directive and its arguments. */
  add(name: string, ...values: readonly (string | number | bigint)[]): this {
    for (const value of [name, ...values]) {
      const text = String(value);
      if (text.includes("\0")) throw new Error(`A NUL byte cannot be part of a directive: ${JSON.stringify(text)}`);
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
