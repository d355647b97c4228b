import { execFile, spawnSync } from "node:child_process";
import { type KeyObject, generateKeyPairSync, verify } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { forwardTo, listenAsAgent } from "../../../solver/ops/exec/agent-socket.ts";
import { serveKeys } from "./ssh-agent.ts";
import { parseSshKey } from "./ssh-keys.ts";

const run = promisify(execFile);
const skip = spawnSync("ssh-keygen", ["-?"]).error === undefined ? undefined : "needs ssh-keygen and ssh-add";
if (skip !== undefined) console.warn(`the tests of the ssh agent are skipped: ${skip}`);

describe.skipIf(skip !== undefined)("an agent that serves a key file", () => {
  test.each([
    { name: "Ed25519", make: ["-t", "ed25519"] },
    { name: "RSA", make: ["-t", "rsa", "-b", "2048"] },
    { name: "RSA in PEM form", make: ["-t", "rsa", "-b", "2048", "-m", "PEM"] },
    { name: "ECDSA on P-256", make: ["-t", "ecdsa", "-b", "256"] },
    { name: "ECDSA on P-521 in PKCS#8 form", make: ["-t", "ecdsa", "-b", "521", "-m", "PKCS8"] },
  ])("$name: OpenSSH's own tools list it, and verify what it signs", async ({ make }) => {
    const directory = mkdtempSync(join(tmpdir(), "kiln-ssh-"));
    try {
      const path = (name: string): string => join(directory, name);
      await run("ssh-keygen", ["-q", ...make, "-N", "", "-C", "me@here", "-f", path("key")]);
      const publicKey = readFileSync(path("key.pub"), "utf8").split(" ");
      const key = parseSshKey(readFileSync(path("key"), "utf8"));
      const at = { directory, permissions: 0o600, owner: undefined } as const;
      await using own = await listenAsAgent(at, serveKeys([key]));
      // As steps see it: through a socket that passes everything on.
      await using agent = await listenAsAgent(at, forwardTo(own.path));
      // Without the private file, so that only the agent can sign.
      rmSync(path("key"));
      const env = { ...process.env, SSH_AUTH_SOCK: agent.path };
      expect((await run("ssh-add", ["-L"], { env })).stdout.split(" ").slice(0, 2)).toEqual(publicKey.slice(0, 2));
      writeFileSync(path("data"), "signed text");
      await run("ssh-keygen", ["-Y", "sign", "-f", path("key.pub"), "-n", "file", path("data")], { env });
      writeFileSync(path("allowed"), `me ${publicKey.slice(0, 2).join(" ")}\n`);
      const verified = spawnSync(
        "ssh-keygen",
        ["-Y", "verify", "-f", path("allowed"), "-I", "me", "-n", "file", "-s", path("data.sig")],
        { input: "signed text", encoding: "utf8" },
      );
      expect(verified.stdout).toMatch(/^Good "file" signature for me/);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  test.each([
    { name: "OpenSSH's", format: "RFC4716", type: "ed25519" },
    { name: "PEM", format: "PEM", type: "rsa" },
    { name: "PKCS#8", format: "PKCS8", type: "ecdsa" },
  ])("a key with a passphrase is refused with the reason: $name form", async ({ format, type }) => {
    const directory = mkdtempSync(join(tmpdir(), "kiln-ssh-"));
    try {
      const words = ["-t", type, "-m", format, "-N", "secret words", "-f", join(directory, "key")];
      await run("ssh-keygen", ["-q", ...words]);
      expect(() => parseSshKey(readFileSync(join(directory, "key"), "utf8"))).toThrow(/^it has a passphrase$/);
      expect(() => parseSshKey(readFileSync(join(directory, "key.pub"), "utf8"))).toThrow(/^it is the public key$/);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

const pem = (key: KeyObject, type: "pkcs1" | "pkcs8" | "sec1" = "pkcs8"): string =>
  key.export({ format: "pem", type }).toString();

test.each([
  { name: "nothing", text: "", why: "it is no private key" },
  { name: "prose", text: "not a key", why: "it is no private key" },
  { name: "a public key in PEM form", text: publicPem(), why: "it is the public key" },
  { name: "a public key in a line", text: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me@here\n", why: "it is the public key" },
  {
    name: "PuTTY's form",
    text: "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n",
    why: "it is in PuTTY's form",
  },
  {
    name: "a key that is cut off",
    text: "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----",
    why: "it ends too early",
  },
  {
    name: "one in PEM form with other bytes in it",
    text: "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n",
    why: "it is damaged",
  },
  {
    name: "one for agreeing on keys",
    text: pem(generateKeyPairSync("x25519").privateKey),
    why: "keys of type x25519 are not supported",
  },
  {
    name: "one on a curve that SSH does not have",
    text: pem(generateKeyPairSync("ec", { namedCurve: "secp256k1" }).privateKey),
    why: "keys on its curve are not supported",
  },
  {
    name: "DSA",
    text: pem(generateKeyPairSync("dsa", { modulusLength: 1024, divisorLength: 160 }).privateKey),
    why: "keys of type dsa are not supported",
  },
])("$name is refused: $why", ({ text, why }) => {
  expect(() => parseSshKey(text)).toThrow(new Error(why));
});

function publicPem(): string {
  return generateKeyPairSync("ed25519").publicKey.export({ format: "pem", type: "spki" }).toString();
}

/** The words of a message in SSH's form. */
function wordsOf(message: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let start = 0; start < message.length;) {
    const end = start + 4 + message.readUInt32BE(start);
    found.push(message.subarray(start + 4, end));
    start = end;
  }
  return found;
}

const RSA = generateKeyPairSync("rsa", { modulusLength: 1024 });

test.each([
  { flags: 0, algorithm: "ssh-rsa", digest: "sha1" },
  { flags: 2, algorithm: "rsa-sha2-256", digest: "sha256" },
  { flags: 4, algorithm: "rsa-sha2-512", digest: "sha512" },
  { flags: 6, algorithm: "rsa-sha2-512", digest: "sha512" },
  { flags: 8, algorithm: "ssh-rsa", digest: "sha1" },
])("RSA with the flags $flags signs as $algorithm", ({ flags, algorithm, digest }) => {
  const data = Buffer.from("signed text");
  for (const form of ["pkcs1", "pkcs8"] as const) {
    const [name, signature = Buffer.alloc(0)] = wordsOf(parseSshKey(pem(RSA.privateKey, form)).sign(data, flags));
    expect(name?.toString()).toBe(algorithm);
    expect(verify(digest, data, RSA.publicKey, signature)).toBe(true);
  }
});

/* One in 256 numbers is short by a byte, every second has its highest bit set, and every second one of P-521 is short. */
test.each([
  { curve: "P-256", name: "nistp256", bytes: 32, digest: "sha256", rounds: 20 },
  { curve: "P-384", name: "nistp384", bytes: 48, digest: "sha384", rounds: 6 },
  { curve: "P-521", name: "nistp521", bytes: 66, digest: "sha512", rounds: 6 },
])(
  "keys and signatures on $curve are right whatever their numbers begin with",
  ({ curve, name, bytes, digest, rounds }) => {
    const data = Buffer.from("signed text");
    for (let round = 0; round < rounds; round += 1) {
      const pair = generateKeyPairSync("ec", { namedCurve: curve });
      const key = parseSshKey(pem(pair.privateKey, round % 2 === 0 ? "sec1" : "pkcs8"));
      const { x = "", y = "" } = pair.publicKey.export({ format: "jwk" });
      const point = Buffer.concat([Buffer.of(4), Buffer.from(x, "base64url"), Buffer.from(y, "base64url")]);
      expect(wordsOf(key.publicBlob)).toEqual([Buffer.from(`ecdsa-sha2-${name}`), Buffer.from(name), point]);
      for (let again = 0; again < rounds; again += 1) {
        const [algorithm, signature = Buffer.alloc(0)] = wordsOf(key.sign(data, 0));
        expect(algorithm?.toString()).toBe(`ecdsa-sha2-${name}`);
        const numbers = wordsOf(signature);
        expect(numbers.some(([first = 0, second = 0]) => first >= 0x80 || (first === 0 && second < 0x80))).toBe(false);
        const plain = Buffer.concat(numbers.map((one) => Buffer.concat([Buffer.alloc(bytes), one]).subarray(-bytes)));
        expect(verify(digest, data, { key: pair.publicKey, dsaEncoding: "ieee-p1363" }, plain)).toBe(true);
      }
    }
  },
);

test("keys and signatures of Ed25519 are right whatever their numbers begin with", () => {
  const data = Buffer.from("signed text");
  for (let round = 0; round < 100; round += 1) {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    const key = parseSshKey(pem(privateKey));
    const point = Buffer.from(publicKey.export({ format: "jwk" }).x ?? "", "base64url");
    expect(wordsOf(key.publicBlob)).toEqual([Buffer.from("ssh-ed25519"), point]);
    const [algorithm, signature = Buffer.alloc(0)] = wordsOf(key.sign(data, 0));
    expect(algorithm?.toString()).toBe("ssh-ed25519");
    expect(verify(undefined, data, publicKey, signature)).toBe(true);
  }
});

describe("a client of the agent", () => {
  const KEY = parseSshKey(pem(generateKeyPairSync("ed25519").privateKey));
  const message = (...bytes: readonly Uint8Array[]): Buffer => {
    const body = Buffer.concat(bytes);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(body.length);
    return Buffer.concat([length, body]);
  };
  const FAILURE = message(Buffer.of(5));

  /** Returns the answers until the agent closes the connection or has sent `expected` bytes. */
  const answered = async (pieces: readonly Buffer[], expected: number): Promise<Buffer> => {
    const directory = mkdtempSync(join(tmpdir(), "kiln-ssh-"));
    await using agent = await listenAsAgent({ directory, permissions: 0o600, owner: undefined }, serveKeys([KEY]));
    try {
      const client = connect(agent.path);
      await once(client, "connect");
      for (const piece of pieces) {
        client.write(piece);
        // Each piece is to arrive by itself.
        await new Promise((resolve) => setImmediate(resolve));
      }
      const chunks: Buffer[] = [];
      let size = 0;
      for await (const chunk of client as AsyncIterable<Buffer>) {
        chunks.push(chunk);
        size += chunk.length;
        if (size >= expected) break;
      }
      client.destroy();
      return Buffer.concat(chunks);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  };

  test.each([
    { name: "asks for what no agent does", bytes: message(Buffer.of(99)) },
    { name: "wants a key added", bytes: message(Buffer.of(17), message(KEY.publicBlob)) },
    { name: "wants all keys removed", bytes: message(Buffer.of(19)) },
    { name: "wants a signature and stops in the middle", bytes: message(Buffer.of(13), Buffer.of(0, 0, 0, 9, 1)) },
    { name: "wants a signature of another key", bytes: message(Buffer.of(13), Buffer.alloc(12)) },
    {
      name: "wants a signature and gives no flags",
      bytes: message(Buffer.of(13), message(KEY.publicBlob), message(Buffer.from("data"))),
    },
  ])("that $name is told that it failed, and may go on", async ({ bytes }) => {
    const list = message(Buffer.of(11));
    const answers = await answered([Buffer.concat([bytes, list])], FAILURE.length + 1);
    expect(answers.subarray(0, FAILURE.length)).toEqual(FAILURE);
    expect(answers[FAILURE.length + 4]).toBe(12);
  });

  test("may send its message byte by byte", async () => {
    const list = message(Buffer.of(11));
    const answers = await answered(
      Array.from(list, (byte) => Buffer.of(byte)),
      1,
    );
    expect(answers[4]).toBe(12);
  });

  test.each([
    { name: "no", length: [0, 0, 0, 0] },
    { name: "four billion", length: [255, 255, 255, 255] },
    { name: "a quarter of a million and one", length: [0, 4, 0, 1] },
  ])("that announces $name bytes is cut off", async ({ length }) => {
    expect(await answered([Buffer.from(length)], Number.POSITIVE_INFINITY)).toEqual(Buffer.alloc(0));
  });
});
