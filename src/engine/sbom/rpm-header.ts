/** The facts of an rpm header that name a package. */
export interface RpmHeader {
  readonly name: string;
  readonly version: string;
  readonly release: string;
  readonly epoch: number | undefined;
  readonly arch: string | undefined;
  readonly license: string | undefined;
  readonly vendor: string | undefined;
  readonly sourceRpm: string | undefined;
}

const TAGS = { name: 1000, version: 1001, release: 1002, epoch: 1003, vendor: 1011, license: 1014 } as const;
const ARCH = 1022;
const SOURCE_RPM = 1044;
const INT32 = 4;
/** A text, a list of texts, or a text per language, of which the first is the untranslated one. */
const TEXTS = [6, 8, 9];
const ENTRY_BYTES = 16;

/**
 * Reads a header as rpm's database holds it: the number of entries and the size of the data, both big-endian; entries of tag, type,
 * offset and count; the data.
 * @returns `undefined` for bytes that are no header of a package
 */
export function readRpmHeader(bytes: Uint8Array): RpmHeader | undefined {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.length < 8) return undefined;
  const count = view.readUInt32BE(0);
  const data = 8 + count * ENTRY_BYTES;
  if (data + view.readUInt32BE(4) > view.length) return undefined;
  const found = new Map<number, { readonly type: number; readonly offset: number }>();
  for (let at = 8; at < data; at += ENTRY_BYTES) {
    found.set(view.readUInt32BE(at), { type: view.readUInt32BE(at + 4), offset: data + view.readUInt32BE(at + 8) });
  }
  const text = (tag: number): string | undefined => {
    const entry = found.get(tag);
    if (entry === undefined || !TEXTS.includes(entry.type) || entry.offset >= view.length) return undefined;
    const end = view.indexOf(0, entry.offset);
    return view.toString("utf8", entry.offset, end < 0 ? view.length : end);
  };
  const number = (tag: number): number | undefined => {
    const entry = found.get(tag);
    if (entry?.type !== INT32 || entry.offset + 4 > view.length) return undefined;
    return view.readUInt32BE(entry.offset);
  };
  const name = text(TAGS.name);
  const version = text(TAGS.version);
  if (name === undefined || version === undefined) return undefined;
  return {
    name,
    version,
    release: text(TAGS.release) ?? "",
    epoch: number(TAGS.epoch),
    arch: text(ARCH),
    license: text(TAGS.license),
    vendor: text(TAGS.vendor),
    sourceRpm: text(SOURCE_RPM),
  };
}
