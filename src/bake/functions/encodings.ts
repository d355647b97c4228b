import { constants, createHash, privateDecrypt } from "node:crypto";
import { isUtf8 } from "node:buffer";
import { hashSync } from "bcryptjs";
import { messageOf } from "../../../lib/core/errors.ts";
import { callFailure, define, type NativeFunction } from "./args.ts";

const digest = (algorithm: string): NativeFunction =>
  define(1, 1, (args) => createHash(algorithm).update(args.text(0)).digest("hex"));

/** Default of Go's package, which buildx uses. */
const BCRYPT_COST = 10;

/** Name spaces of RFC 4122 by the names that uuidv5 takes. */
const NAMESPACES: Readonly<Record<string, string>> = {
  dns: "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
  url: "6ba7b811-9dad-11d1-80b4-00c04fd430c8",
  oid: "6ba7b812-9dad-11d1-80b4-00c04fd430c8",
  x500: "6ba7b814-9dad-11d1-80b4-00c04fd430c8",
};

/** Encodings, digests and identifiers. */
export const ENCODING_FUNCTIONS: Readonly<Record<string, NativeFunction>> = {
  base64encode: define(1, 1, (args) => Buffer.from(args.text(0)).toString("base64")),
  base64decode: define(1, 1, (args) => {
    const text = args.text(0).replaceAll(/[\r\n]/g, "");
    const bytes = Buffer.from(text, "base64");
    if (bytes.toString("base64") !== text) throw callFailure("this is no base64");
    if (!isUtf8(bytes)) throw callFailure("the decoded bytes are not UTF-8");
    return bytes.toString();
  }),
  bcrypt: define(1, 2, (args) => {
    const [text, cost] = [args.text(0), args.count > 1 ? args.whole(1) : BCRYPT_COST];
    if (Buffer.byteLength(text) > 72) throw callFailure("bcrypt takes 72 bytes at most");
    if (cost > 31) throw callFailure(`the cost ${cost} is more than 31`);
    // Go's package takes its default for a cost that is too low, and writes its hashes as 2a.
    return hashSync(text, cost < 4 ? BCRYPT_COST : cost).replace(/^\$2b/, "$2a");
  }),
  md5: digest("md5"),
  sha1: digest("sha1"),
  sha256: digest("sha256"),
  sha512: digest("sha512"),
  rsadecrypt: define(2, 2, (args) => {
    try {
      const key = { key: args.text(1), padding: constants.RSA_PKCS1_PADDING };
      return privateDecrypt(key, Buffer.from(args.text(0), "base64")).toString();
    } catch (error) {
      throw callFailure(messageOf(error));
    }
  }),
  urlencode: define(1, 1, (args) =>
    encodeURIComponent(args.text(0))
      .replaceAll("%20", "+")
      .replaceAll(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`),
  ),
  uuidv4: define(0, 0, (_args, host) => host.uuid()),
  uuidv5: define(2, 2, (args) => {
    const space = args.text(0);
    const hex = (NAMESPACES[space] ?? space).replaceAll("-", "");
    if (!/^[0-9a-f]{32}$/i.test(hex)) throw callFailure("the name space is dns, url, oid, x500 or a UUID");
    const bytes = createHash("sha1").update(Buffer.from(hex, "hex")).update(args.text(1)).digest().subarray(0, 16);
    bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x50;
    bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
    return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  }),
};
