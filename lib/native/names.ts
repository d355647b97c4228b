/**
 * Decodes a file name. Names are bytes, not text, but paths are strings everywhere else. So a name that is UTF-8 is
 * that text, and in any other name each stray byte is the lone surrogate U+DC80 + (byte - 0x80): Python's
 * "surrogateescape", PEP 383. Nothing else maps there, so every name comes back byte for byte, and JSON keeps it too
 * (as a `\udcxx` escape). Such strings must not be given to Node's own fs, nor to Buffer.from: both write U+FFFD.
 */
export function decodeName(bytes: Uint8Array): string {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = view.toString();
  return text.includes("\ufffd") ? decodeSlowly(view) : text;
}

/** Encodes a name or path made by `decodeName`. */
export function encodeName(name: string): Buffer {
  return name.isWellFormed() ? Buffer.from(name) : encodeSlowly(name);
}

/** Compares names by bytes, which is not the order of UTF-16 code units once surrogates are involved. */
export function compareNames(left: string, right: string): number {
  if (left === right) return 0;
  const length = Math.min(left.length, right.length);
  for (let at = 0; at < length; at += 1) {
    const a = left.charCodeAt(at);
    const b = right.charCodeAt(at);
    if (a === b) continue;
    // Below the surrogates both orders agree.
    if (a < 0xd800 && b < 0xd800) return a - b;
    return Buffer.compare(encodeName(left), encodeName(right));
  }
  return left.length - right.length;
}

/** Makes a name printable: stray bytes become U+FFFD. */
export function printableName(name: string): string {
  return name.toWellFormed();
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decodeSlowly(bytes: Buffer): string {
  let text = "";
  let at = 0;
  while (at < bytes.length) {
    const length = sequenceLength(bytes, at);
    text +=
      length === 0 ? String.fromCharCode(0xdc00 + (bytes[at] ?? 0)) : strict.decode(bytes.subarray(at, at + length));
    at += Math.max(1, length);
  }
  return text;
}

/** Returns the length of the well-formed UTF-8 sequence at an offset, or 0. Unicode 15, table 3-7. */
function sequenceLength(bytes: Buffer, offset: number): number {
  const lead = bytes[offset] ?? 0;
  if (lead < 0x80) return 1;
  const length =
    lead >= 0xc2 && lead <= 0xdf ? 2 : lead >= 0xe0 && lead <= 0xef ? 3 : lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
  if (length === 0 || offset + length > bytes.length) return 0;
  const second = bytes[offset + 1] ?? 0;
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  if (second < low || second > high) return 0;
  for (let next = offset + 2; next < offset + length; next += 1) {
    if (((bytes[next] ?? 0) & 0xc0) !== 0x80) return 0;
  }
  return length;
}

function encodeSlowly(name: string): Buffer {
  const parts: Buffer[] = [];
  let from = 0;
  for (let at = 0; at < name.length; at += 1) {
    const unit = name.charCodeAt(at);
    // The second half of a pair is part of a character; iterating by unit must step over it.
    if (unit >= 0xd800 && unit < 0xdc00 && name.charCodeAt(at + 1) >= 0xdc00 && name.charCodeAt(at + 1) < 0xe000) {
      at += 1;
      continue;
    }
    if (unit < 0xdc80 || unit > 0xdcff) continue;
    parts.push(Buffer.from(name.slice(from, at)), Buffer.of(unit - 0xdc00));
    from = at + 1;
  }
  parts.push(Buffer.from(name.slice(from)));
  return Buffer.concat(parts);
}
