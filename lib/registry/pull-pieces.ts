import type { Readable } from "node:stream";

/** Minimum of missing bytes for which several connections are worth their handshakes. */
export const LEAST_PIECED_BYTES = 64 << 20;
/** Size of a piece. All pieces that wait for their turn are in memory: at most 32 MiB. */
export const PIECE_BYTES = 8 << 20;
/** Limit of pieces, and so of connections, at a time. */
const PIECES_AT_ONCE = 4;

/** The one right of a client to use several connections for a blob: other blobs then come by one each. */
export class PieceRight {
  #isTaken = false;

  /** @returns the function that gives it back; `undefined` while another blob has it */
  take(): (() => void) | undefined {
    if (this.#isTaken) return undefined;
    this.#isTaken = true;
    let isMine = true;
    return () => {
      if (isMine) this.#isTaken = false;
      isMine = false;
    };
  }
}

/** Opens the bytes from one offset to before another one. */
export type OpenPiece = (offsetBytes: number, endBytes: number, signal: AbortSignal) => Promise<Readable>;

/**
 * Streams a part of a blob in order, over several connections. It ends early, with the next offset as its return value, when a
 * piece is not what was asked for or its connection breaks: the caller goes on from there over one connection.
 * @param first the body of the first piece
 */
export async function* inPieces(
  first: Readable,
  { offsetBytes, endBytes }: { readonly offsetBytes: number; readonly endBytes: number },
  open: OpenPiece,
  signal: AbortSignal,
): AsyncGenerator<Buffer, number> {
  const stop = new AbortController();
  const inner = AbortSignal.any([signal, stop.signal]);
  const pieces: Piece[] = [];
  let at = offsetBytes;
  let nextBytes = Math.min(offsetBytes + PIECE_BYTES, endBytes);
  pieces.push(new Piece(async () => first, nextBytes - offsetBytes, inner));
  try {
    for (;;) {
      while (pieces.length < PIECES_AT_ONCE && nextBytes < endBytes) {
        const [from, end] = [nextBytes, Math.min(nextBytes + PIECE_BYTES, endBytes)];
        pieces.push(new Piece(() => open(from, end, inner), end - from, inner));
        nextBytes = end;
      }
      const piece = pieces.shift();
      if (piece === undefined) return at;
      for await (const chunk of piece.chunks()) {
        at += chunk.length;
        yield chunk;
      }
      if (!piece.isWhole) return at;
    }
  } finally {
    stop.abort(new Error("The piece is not needed"));
    first.destroy();
    await Promise.all(pieces.map((piece) => piece.ended));
  }
}

/** One piece: received at once, and read in its turn. */
class Piece {
  readonly #received: Buffer[] = [];
  readonly ended: Promise<void>;
  #hasEnded = false;
  #missingBytes: number;
  #changed = Promise.withResolvers<void>();

  constructor(open: () => Promise<Readable>, sizeBytes: number, signal: AbortSignal) {
    this.#missingBytes = sizeBytes;
    // The next reader from here meets the failure again, if it is one that stays.
    this.ended = this.#receive(open, signal).catch(() => undefined);
  }

  /** Tells whether all its bytes came. */
  get isWhole(): boolean {
    return this.#missingBytes === 0;
  }

  /** Gives the bytes, in order, until the end of what comes. */
  async *chunks(): AsyncGenerator<Buffer, void> {
    for (;;) {
      const chunk = this.#received.shift();
      if (chunk !== undefined) yield chunk;
      else if (this.#hasEnded) return;
      else await this.#changed.promise;
    }
  }

  async #receive(open: () => Promise<Readable>, signal: AbortSignal): Promise<void> {
    let body: Readable | undefined;
    const abort = (): void => void body?.destroy();
    signal.addEventListener("abort", abort, { once: true });
    try {
      body = await open();
      signal.throwIfAborted();
      for await (const chunk of body as AsyncIterable<Buffer>) {
        // A server may send more than it was asked for.
        const wanted = chunk.subarray(0, this.#missingBytes);
        this.#missingBytes -= wanted.length;
        this.#received.push(wanted);
        this.#wake();
        if (this.#missingBytes === 0) break;
      }
    } finally {
      signal.removeEventListener("abort", abort);
      body?.destroy();
      this.#hasEnded = true;
      this.#wake();
    }
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}
