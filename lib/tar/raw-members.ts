import type { EntryType } from "./entry.ts";
import { BLOCK, paddingOf, type TarEntry } from "./entry.ts";
import { isZeroBlock, malformed, parseHeader } from "./header-read.ts";
import { TarReader } from "./read.ts";

/** A member of a tar with the very bytes of its headers. */
export interface RawMember {
  readonly path: string;
  readonly type: EntryType;
  /** Target of a link or symlink, otherwise empty. */
  readonly linkName: string;
  /** All blocks of its headers, extended ones included. */
  readonly header: Buffer;
  /** Bytes of the content with its padding. */
  readonly contentBytes: number;
}

/** A piece of a tar: a member, or bytes of its content. Chunks are views of the input. */
export type RawEvent =
  | { readonly kind: "member"; readonly member: RawMember }
  | { readonly kind: "content"; readonly bytes: Buffer };

/** Type flags of headers that belong to the member behind them. */
const EXTENDED = "xXLK";
/** Extended headers hold names and attributes. */
const MAX_HEADER_BYTES = 8 << 20;

/**
 * Reads the members of a tar without changing a byte. Sparse members, and defaults for all members, are refused: their parts depend
 * on each other. No layer made here has them.
 * @throws {BuildError} `archive/malformed` for damage, and for what is refused
 */
export async function* rawMembers(tar: AsyncIterable<Uint8Array>): AsyncGenerator<RawEvent, void> {
  let rest: Buffer = Buffer.alloc(0);
  let header: Buffer[] = [];
  let headerBytes = 0;
  /** Bytes of an extended header's records that follow. */
  let extended = 0;
  let content = 0;
  let isDone = false;
  for await (const chunk of tar) {
    if (isDone) continue;
    let input = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (rest.length > 0) input = Buffer.concat([rest, input]);
    let at = 0;
    while (at < input.length && !isDone) {
      if (content > 0) {
        const bytes = input.subarray(at, at + content);
        at += bytes.length;
        content -= bytes.length;
        yield { kind: "content", bytes };
        continue;
      }
      if (input.length - at < BLOCK) break;
      const block = input.subarray(at, at + BLOCK);
      at += BLOCK;
      if (extended === 0 && header.length === 0 && isZeroBlock(block)) {
        isDone = true;
        continue;
      }
      header.push(Buffer.from(block));
      headerBytes += BLOCK;
      if (headerBytes > MAX_HEADER_BYTES) throw malformed("an extended header is too long");
      if (extended > 0) {
        extended -= BLOCK;
        continue;
      }
      const { typeFlag, size } = parseHeader(block);
      if (EXTENDED.includes(typeFlag)) {
        extended = size + paddingOf(size);
        continue;
      }
      const member = memberOf(Buffer.concat(header));
      header = [];
      headerBytes = 0;
      content = member.contentBytes;
      yield { kind: "member", member };
    }
    rest = Buffer.from(input.subarray(at));
  }
  if (content > 0 || header.length > 0) throw malformed("it ends in the middle of a member");
}

function memberOf(header: Buffer): RawMember {
  const entry = entryOf(header);
  if (entry === undefined || header.includes("GNU.sparse")) throw malformed("a member is not of a layer's kinds");
  const { path, type, linkName, size } = entry;
  return { path, type, linkName, header, contentBytes: size + paddingOf(size) };
}

function entryOf(header: Buffer): TarEntry | undefined {
  for (const event of new TarReader().push(header)) if (event.kind === "entry") return event.entry;
  return undefined;
}
