/** One report of kiln-runtime (solver/runtime/program/report.c): `o` and `e` output, `x` why it failed, `r` before it what was refused, `q` how the command ended. */
export interface Frame {
  readonly kind: string;
  readonly data: Buffer;
}

/** The head is a letter, a decimal length and a newline; nothing longer is one. */
const MAX_HEAD = 24;

/** Cuts a byte stream into frames. Output frames are handed on as they are, without being collected first. */
export class FrameReader {
  #pending: Buffer = Buffer.alloc(0);

  /** Frames that are complete with these bytes, in order. */
  *push(chunk: Buffer): Generator<Frame> {
    let rest = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    for (;;) {
      const headEnd = rest.indexOf(0x0a);
      if (headEnd < 0) {
        if (rest.length > MAX_HEAD) throw new Error("kiln-runtime sent something that is not a report");
        break;
      }
      const size = Number(rest.toString("latin1", 1, headEnd));
      if (!Number.isSafeInteger(size)) throw new Error("kiln-runtime sent a report without a length");
      if (rest.length < headEnd + 1 + size) break;
      yield { kind: String.fromCharCode(rest[0] ?? 0), data: rest.subarray(headEnd + 1, headEnd + 1 + size) };
      rest = rest.subarray(headEnd + 1 + size);
    }
    this.#pending = rest;
  }
}
