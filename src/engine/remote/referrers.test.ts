import { expect, test } from "vitest";
import { startTestRegistry, type TestRegistry } from "../../../test/support/registry.ts";
import { digestOf } from "../../../lib/core/digest.ts";
import { MEDIA_TYPES } from "../../../lib/core/oci.ts";
import { parseReference } from "../../../lib/core/reference.ts";
import { createRegistryClient } from "../../../lib/registry/client.ts";
import { copyImage } from "./copy-image.ts";
import { announceReferrers, listReferrers } from "../../../lib/registry/listed-referrers.ts";

const { signal } = new AbortController();

const client = () =>
  createRegistryClient({
    credentials: { get: async () => undefined },
    userAgent: "test",
    clock: { nowMs: () => 0 },
    timer: { wait: async () => undefined },
  });

/** Adds a manifest of one blob, which may be about another one. */
function add(registry: TestRegistry, tag: string, content: string, subject?: { digest: string; size: number }) {
  const config = { mediaType: MEDIA_TYPES.ociEmpty, ...registry.addBlob("{}") };
  const layer = { mediaType: "text/plain", ...registry.addBlob(content) };
  const about = subject === undefined ? {} : { subject: { mediaType: MEDIA_TYPES.ociManifest, ...subject } };
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    artifactType: "test/sign",
    config,
    layers: [layer],
    ...about,
  };
  const bytes = JSON.stringify(manifest);
  registry.addManifest("team/app", tag, MEDIA_TYPES.ociManifest, bytes);
  return { mediaType: MEDIA_TYPES.ociManifest, digest: digestOf(bytes), size: bytes.length };
}

test("signatures, and what is about them, go along where no registry has the API", async () => {
  await using from = await startTestRegistry();
  await using to = await startTestRegistry();
  await using registries = client();
  const image = add(from, "1", "image");
  const signature = add(from, "", "signature", image);
  const countersignature = add(from, "", "countersignature", signature);
  const source = parseReference(`${from.host}/team/app:1`);
  await announceReferrers(registries, source, image.digest, [signature], signal);
  await announceReferrers(registries, source, signature.digest, [countersignature], signal);
  const target = parseReference(`${to.host}/mirror/app:1`);
  const request = { from: source, to: target, platforms: [], onBlob: () => undefined };
  await copyImage(registries, { ...request, referrers: false }, signal);
  expect(await listReferrers(registries, target, image.digest, signal)).toEqual([]);
  await copyImage(registries, { ...request, referrers: true }, signal);
  expect(await listReferrers(registries, target, image.digest, signal)).toMatchObject([{ digest: signature.digest }]);
  const [second] = await listReferrers(registries, target, signature.digest, signal);
  expect(second?.digest).toBe(countersignature.digest);
  // Told again, nothing is listed twice.
  await announceReferrers(registries, target, image.digest, [signature], signal);
  expect(await listReferrers(registries, target, image.digest, signal)).toHaveLength(1);
  expect(to.blobs.has(digestOf("countersignature"))).toBe(true);
});

test("indexes that name each other again and again are copied once each, and not without end", async () => {
  await using from = await startTestRegistry();
  await using to = await startTestRegistry();
  await using registries = client();
  const nested = (levels: number): string => {
    let member: { mediaType: string; digest: string; size: number } = add(from, "", "leaf");
    for (let level = 0; level < levels; level += 1) {
      const manifests = Array.from({ length: 50 }, () => member);
      const bytes = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests });
      from.addManifest("team/app", `levels-${levels}`, MEDIA_TYPES.ociIndex, bytes);
      member = { mediaType: MEDIA_TYPES.ociIndex, digest: digestOf(bytes), size: bytes.length };
    }
    return `${from.host}/team/app:levels-${levels}`;
  };
  const target = parseReference(`${to.host}/mirror/app:1`);
  const request = { to: target, platforms: [], referrers: false, onBlob: () => undefined };
  await copyImage(registries, { ...request, from: parseReference(nested(6)) }, signal);
  expect(from.requests.filter(({ path }) => path.includes("/manifests/")).length).toBeLessThan(30);
  await expect(copyImage(registries, { ...request, from: parseReference(nested(20)) }, signal)).rejects.toThrow(
    "nested too deeply",
  );
});
