import { execFileSync, spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, expect, test } from "vitest";
import { dockerRegistryMissing, startDockerRegistry } from "../../../test/support/docker-registry.ts";
import { startTestRegistry } from "../../../test/support/registry.ts";
import { digestOf } from "../../../lib/core/digest.ts";
import { MEDIA_TYPES } from "../../../lib/core/oci.ts";
import { parseReference } from "../../../lib/core/reference.ts";
import { createRegistryClient } from "../../../lib/registry/client.ts";
import { listReferrers } from "../../../lib/registry/listed-referrers.ts";
import { copyImage } from "../remote/copy-image.ts";
import { readSigningKey, readVerifyingKey, type SigningKey, type VerifyingKey } from "./keys.ts";
import { signImage } from "./sign-image.ts";
import { verifyImage } from "./verify-image.ts";

const { signal } = new AbortController();
const home = mkdtempSync(join(tmpdir(), "kiln-sign-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const noCosign =
  spawnSync("cosign", ["version"]).status === 0
    ? undefined
    : 'the program "cosign" is not installed (Debian package cosign)';
if (noCosign !== undefined) console.warn(`skipped: signatures beside cosign: ${noCosign}`);

const client = () =>
  createRegistryClient({
    credentials: { get: async () => undefined },
    userAgent: "test",
    clock: { nowMs: () => 0 },
    timer: { wait: async () => undefined },
  });

const noPassword = async (): Promise<string> => {
  throw new Error("No password is wanted");
};

async function newKey(): Promise<{ readonly key: SigningKey; readonly check: VerifyingKey; readonly pem: string }> {
  const pair = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const pem = pair.privateKey.export({ format: "pem", type: "pkcs8" }).toString();
  const spki = pair.publicKey.export({ format: "pem", type: "spki" }).toString();
  return {
    key: await readSigningKey(pem, "test.key", noPassword),
    check: readVerifyingKey(spki, "test.pub"),
    pem: spki,
  };
}

/** Pushes a small image, whose content is a text. */
async function pushImage(host: string, text = "{}") {
  const image = parseReference(`${host}/team/app:1`);
  const registry = client();
  const bytes = Buffer.from(text);
  const config = { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(bytes), size: bytes.length };
  await registry.pushBlob(image, { descriptor: config, open: () => Readable.from([bytes]) }, signal);
  const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: [] };
  const body = Buffer.from(JSON.stringify(manifest));
  await registry.pushManifest(image, { reference: "1", mediaType: MEDIA_TYPES.ociManifest, bytes: body }, signal);
  return { image, registry, digest: digestOf(body) };
}

test.each([
  { name: "a registry without the referrers API", start: startTestRegistry, why: undefined },
  { name: "the registry of distribution", start: startDockerRegistry, why: dockerRegistryMissing },
])("a signature is found by its key alone, and for its image alone: $name", async ({ start, why }) => {
  if (why !== undefined) {
    console.warn(`skipped: ${why}`);
    return;
  }
  await using server = await start();
  const { image, registry, digest } = await pushImage(server.host);
  const [one, other] = [await newKey(), await newKey()];
  await expect(verifyImage(registry, image, one.check, signal)).rejects.toMatchObject({ code: "signature/missing" });
  expect(await signImage(registry, image, one.key, signal)).toEqual({ digest, isNew: true });
  expect(await verifyImage(registry, image, one.check, signal)).toMatchObject({
    digest,
    signatures: [{ form: "bundle" }, { form: "tag" }],
  });
  await expect(verifyImage(registry, image, other.check, signal)).rejects.toMatchObject({ code: "signature/missing" });
  // Again nothing is added; another key's signature stands beside the first.
  expect(await signImage(registry, image, one.key, signal)).toEqual({ digest, isNew: false });
  await signImage(registry, image, other.key, signal);
  expect(await listReferrers(registry, image, digest, signal)).toHaveLength(2);
  for (const { check } of [one, other]) {
    expect((await verifyImage(registry, image, check, signal)).signatures).toHaveLength(2);
  }
  // A signature of the old content is none of the new.
  await pushImage(server.host, '{"changed":true}');
  await expect(verifyImage(registry, image, one.check, signal)).rejects.toMatchObject({ code: "signature/missing" });
});

test("a copy with referrers is signed as well", async () => {
  await using server = await startTestRegistry();
  const { image, registry } = await pushImage(server.host);
  const { key, check } = await newKey();
  await signImage(registry, image, key, signal);
  const copy = parseReference(`${server.host}/other/app:2`);
  await copyImage(registry, { from: image, to: copy, platforms: [], referrers: true, onBlob: () => undefined }, signal);
  expect((await verifyImage(registry, copy, check, signal)).signatures).toMatchObject([{ form: "bundle" }]);
});

test("what refers to an image and is no proper bundle of it is passed over", async () => {
  await using server = await startTestRegistry();
  const { image, registry, digest } = await pushImage(server.host);
  const { key, check } = await newKey();
  await signImage(registry, image, key, signal);
  const [bundle] = await listReferrers(registry, image, digest, signal);
  const artifact = await registry.fetchManifest(image, { digest: bundle?.digest ?? digest }, signal);
  // The same bundle, said to be about another image.
  const { image: forged } = await pushImage(server.host, '{"other":1}');
  const other = await registry.resolve(forged, signal);
  const { digest: otherDigest, size } = other.descriptor;
  const moved = {
    ...JSON.parse(artifact.bytes.toString()),
    subject: { ...other.descriptor, digest: otherDigest, size },
  } as object;
  const bytes = Buffer.from(JSON.stringify(moved));
  const mediaType = MEDIA_TYPES.ociManifest;
  await registry.pushManifest(image, { reference: digestOf(bytes), mediaType, bytes }, signal);
  const index = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociIndex,
    manifests: [{ mediaType, digest: digestOf(bytes), size: bytes.length, artifactType: bundle?.artifactType }],
  };
  const tag = otherDigest.replace(":", "-");
  const body = Buffer.from(JSON.stringify(index));
  await registry.pushManifest(image, { reference: tag, mediaType: MEDIA_TYPES.ociIndex, bytes: body }, signal);
  // And the signatures of the first image under the second one's tag.
  const old = await registry.resolve({ ...image, tag: `${digest.replace(":", "-")}.sig` }, signal);
  await registry.pushManifest(image, { reference: `${tag}.sig`, mediaType, bytes: old.bytes }, signal);
  await expect(verifyImage(registry, forged, check, signal)).rejects.toMatchObject({ code: "signature/missing" });
});

const openssl = (...args: readonly string[]): string =>
  execFileSync("openssl", args, { encoding: "utf8", cwd: home, stdio: ["ignore", "pipe", "ignore"] });

test.each([
  {
    name: "EC, OpenSSL's own form",
    make: () => openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout"),
    password: noPassword,
  },
  {
    name: "PKCS #8",
    make: () => openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
    password: noPassword,
  },
  {
    name: "PKCS #8, encrypted",
    make: () =>
      openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-aes256", "-pass", "pass:secret"),
    password: async () => "secret",
  },
])("a key in PEM: $name", async ({ make, password }) => {
  const key = await readSigningKey(make(), "app.key", password);
  expect(key.check.isSignature(Buffer.from("a"), key.sign(Buffer.from("a")))).toBe(true);
  expect(key.check.isSignature(Buffer.from("b"), key.sign(Buffer.from("a")))).toBe(false);
});

/** A key of cosign 2.5.0, with the password "pw". It signs nothing. */
const COSIGN_KEY = readFileSync(join(import.meta.dirname, "../../../testdata/sign/cosign.key"), "utf8");
const COSIGN_PUB = readFileSync(join(import.meta.dirname, "../../../testdata/sign/cosign.pub"), "utf8");

test("a key that cosign has encrypted", async () => {
  const key = await readSigningKey(COSIGN_KEY, "cosign.key", async () => "pw");
  const check = readVerifyingKey(COSIGN_PUB, "cosign.pub");
  expect(check.isSignature(Buffer.from("a"), key.sign(Buffer.from("a")))).toBe(true);
  expect(key.check.hint).toBe(check.hint);
});

const inPem = (value: object): string =>
  `-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n${Buffer.from(JSON.stringify(value)).toString("base64")}\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n`;
const box = (N: number, nonce = "") => ({
  kdf: { name: "scrypt", params: { N, r: 8, p: 1 }, salt: "AA==" },
  cipher: { name: "nacl/secretbox", nonce },
  ciphertext: "AA==",
});

test.each([
  { name: "another password", pem: COSIGN_KEY, says: "the password is not the key's" },
  { name: "no key", pem: "hello", says: "it is no private key in PEM" },
  { name: "a public key", pem: COSIGN_PUB, says: "it is no private key in PEM" },
  {
    name: "damaged PEM",
    pem: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    says: "Cannot use the key",
  },
  { name: "damaged content", pem: inPem({ kdf: 1 }), says: "its content is damaged" },
  { name: "endless work", pem: inPem(box(2 ** 30)), says: "encrypted in an unknown way" },
  { name: "impossible work", pem: inPem(box(3)), says: "its content is damaged" },
  { name: "a short nonce", pem: inPem(box(1024, "AA==")), says: "its content is damaged" },
  {
    name: "another curve",
    pem: generateKeyPairSync("ec", { namedCurve: "secp384r1" })
      .privateKey.export({ format: "pem", type: "pkcs8" })
      .toString(),
    says: "not of the kind ECDSA P-256",
  },
])("a private key that is of no use: $name", async ({ pem, says }) => {
  const error = await readSigningKey(pem, "x.key", async () => "no").catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: "signature/key", message: expect.stringContaining(says) });
});

test.each([
  { name: "a private key", pem: COSIGN_KEY, says: "it is a private key" },
  { name: "no key", pem: "hello", says: "Cannot use the key" },
])("a public key that is of no use: $name", ({ pem, says }) => {
  expect(() => readVerifyingKey(pem, "x.pub")).toThrow(says);
});

const why = noCosign ?? dockerRegistryMissing;
test.skipIf(why !== undefined)(
  "cosign verifies what kiln signs, in both forms, and kiln what cosign signs",
  async () => {
    await using server = await startDockerRegistry();
    const { image, registry, digest } = await pushImage(server.host);
    const cosign = (...args: readonly string[]): void => {
      execFileSync("cosign", args, {
        cwd: home,
        env: { ...process.env, COSIGN_PASSWORD: "pw", HOME: home },
        stdio: "pipe",
        timeout: 60_000,
      });
    };
    cosign("generate-key-pair");
    const key = await readSigningKey(readFileSync(join(home, "cosign.key"), "utf8"), "cosign.key", async () => "pw");
    const check = readVerifyingKey(readFileSync(join(home, "cosign.pub"), "utf8"), "cosign.pub");
    const name = `${server.host}/team/app@${digest}`;
    const plain = ["--allow-insecure-registry", "--insecure-ignore-tlog", "--key", "cosign.pub"];
    expect(() => cosign("verify", ...plain, name)).toThrow("no signatures found");
    await signImage(registry, image, key, signal);
    cosign("verify", ...plain, name);
    // Checked with a key, a bundle needs no roots.
    writeFileSync(join(home, "root.json"), '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}');
    const bundle = [
      "--new-bundle-format",
      "--trusted-root",
      "root.json",
      "--type",
      "https://sigstore.dev/cosign/sign/v1",
    ];
    cosign("verify-attestation", ...plain, ...bundle, name);
    // The other way round.
    const { image: second, digest: next } = await pushImage(server.host, '{"second":1}');
    const target = `${server.host}/team/app@${next}`;
    cosign("sign", "--allow-insecure-registry", "--tlog-upload=false", "--yes", "--key", "cosign.key", target);
    expect((await verifyImage(registry, second, check, signal)).signatures).toMatchObject([{ form: "tag" }]);
  },
);
