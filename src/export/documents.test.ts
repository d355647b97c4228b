import { expect, test } from "vitest";
import { digestOf } from "../../lib/core/digest.ts";
import { MEDIA_TYPES } from "../../lib/core/oci.ts";
import { configDescriptor, indexDocument, manifestDocument, manifestLayer } from "./documents.ts";

const layer = {
  mediaType: MEDIA_TYPES.ociLayerGzip,
  digest: digestOf("layer"),
  size: 5,
  annotations: { "containerd.io/uncompressed": "sha256:x", "org.example": "kept" },
};

test("a manifest has two spaces, the specification's order and Go's escapes", () => {
  const { bytes, descriptor } = manifestDocument({
    family: "oci",
    config: configDescriptor("oci", Buffer.from("{}")),
    layers: [manifestLayer("oci", layer)],
    annotations: { b: "<2>", a: "1" },
  });
  expect(bytes.toString()).toMatchInlineSnapshot(`
    "{
      "schemaVersion": 2,
      "mediaType": "application/vnd.oci.image.manifest.v1+json",
      "config": {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "size": 2
      },
      "layers": [
        {
          "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
          "digest": "sha256:dac1d7cfa95021764849fd102524e141488c5e3a90f861dbb5a12d9ac8584f85",
          "size": 5,
          "annotations": {
            "org.example": "kept"
          }
        }
      ],
      "annotations": {
        "a": "1",
        "b": "\\u003c2\\u003e"
      }
    }"
  `);
  expect(descriptor).toEqual({ mediaType: MEDIA_TYPES.ociManifest, digest: digestOf(bytes), size: bytes.byteLength });
});

test("Docker's media types carry no annotations on layers", () => {
  expect(manifestLayer("docker", layer)).toEqual({
    mediaType: MEDIA_TYPES.dockerLayerGzip,
    digest: layer.digest,
    size: 5,
  });
});

test("an index says which platform each manifest is for", () => {
  const { bytes } = indexDocument({
    family: "oci",
    manifests: [
      {
        mediaType: MEDIA_TYPES.ociManifest,
        digest: digestOf("m"),
        size: 1,
        platform: { architecture: "arm", os: "linux", variant: "v7" },
      },
    ],
    annotations: {},
  });
  expect(JSON.parse(bytes.toString())).toMatchObject({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociIndex,
    manifests: [{ platform: { architecture: "arm", os: "linux", variant: "v7" } }],
  });
});
