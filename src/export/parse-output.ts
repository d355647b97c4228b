import { BuildError } from "../../lib/core/errors.ts";
import type { Compression } from "../../lib/core/oci.ts";
import { parseSize } from "../../lib/core/size.ts";
import { suggest } from "../../lib/core/suggest.ts";
import type { AnnotationOption, ImageOptions, ImageOutput, OutputSpec } from "./output-spec.ts";

const ANNOTATION = /^annotation(?:-([a-z-]+))?(?:\[([A-Za-z0-9_/-]+)\])?\.(\S+)$/;
const LEVELS: Readonly<Record<Compression, number>> = { uncompressed: 0, gzip: 9, zstd: 22 };
/**
 * Attributes for the layout of attestations, for which kiln has one way, and an attribute that BuildKit no longer
 * reads.
 */
const ATTESTATION_KEYS = ["attestation-inline", "attestation-prefix", "oci-artifact"];
const OBSOLETE_KEYS = ["buildinfo", "buildinfo-attrs"];
const IMAGE_KEYS = [
  "name",
  "compression",
  "compression-level",
  "force-compression",
  "layers",
  "oci-mediatypes",
  "rewrite-timestamp",
  "source-date-epoch",
  ...ATTESTATION_KEYS,
  ...OBSOLETE_KEYS,
];
const BOOLEAN_KEYS = [
  ...["force-compression", "name-canonical", "oci-mediatypes", "platform-split", "prefer-nondist-layers", "push"],
  ...["push-by-digest", "registry.insecure", "rewrite-timestamp", "store", "tar", "unpack"],
  ...["danging-name-empty-only", "dangling-name-empty-only"],
];
/** BuildKit reads the misspelt key; people write the right one. */
const DANGLING_ONLY_KEYS = ["danging-name-empty-only", "dangling-name-empty-only"];
const TREE_KEYS = ["dest", "platform-split", "attestation-prefix", "source-date-epoch"];

/**
 * Parses the attributes of one `--output`, with BuildKit's names and defaults.
 * @throws {BuildError} `export/unsupported` for outputs that kiln cannot write, `cli/usage` for malformed ones
 */
export function parseOutput(given: ReadonlyMap<string, string>): OutputSpec {
  // An empty name or path counts as absent. An annotation may be empty, and an empty switch is on, as in BuildKit.
  const attributes = new Map(
    [...given].filter(([key, value]) => value !== "" || key.startsWith("annotation") || BOOLEAN_KEYS.includes(key)),
  );
  const type = attributes.get("type");
  switch (type) {
    case undefined:
      throw usage("type is required", 'write "type=local,dest=out", or only a path');
    case "image":
    case "registry":
      return imageOutput(type, attributes);
    case "oci":
    case "docker": {
      refuseOthers(type, attributes, [...IMAGE_KEYS, "dest", "tar", ...(type === "docker" ? ["context"] : [])]);
      const form = booleanOf(attributes, "tar", true) ? "tar" : "directory";
      // As with buildx: an archive that has no place to go is for docker's engine.
      if (type === "docker" && form === "tar" && !attributes.has("dest")) {
        return {
          kind: "engine",
          engine: "docker",
          image: imageOptions(attributes),
          context: attributes.get("context"),
        };
      }
      const destination = attributes.get("dest") ?? (form === "tar" ? "-" : undefined);
      if (destination === undefined) throw usage(`dest is required for type=${type},tar=false`);
      return { kind: type, image: imageOptions(attributes), destination, form };
    }
    case "local": {
      const destination = attributes.get("dest");
      refuseOthers(type, attributes, [...TREE_KEYS, "mode"]);
      if (destination === undefined) throw usage("dest is required for type=local");
      const mode = attributes.get("mode") ?? "copy";
      if (mode !== "copy" && mode !== "delete") throw usage(`mode is "copy" or "delete", not ${JSON.stringify(mode)}`);
      return { kind: "local", destination, mode, ...treeOptions(attributes) };
    }
    case "tar":
      refuseOthers(type, attributes, TREE_KEYS);
      return { kind: "tar", destination: attributes.get("dest") ?? "-", ...treeOptions(attributes) };
    case "cacheonly":
      refuseOthers(type, attributes, []);
      return { kind: "cacheonly" };
    default:
      throw new BuildError("export/unsupported", `Cannot write output type ${JSON.stringify(type)}`, {
        hint: "types: image, registry, oci, docker, local, tar, cacheonly",
      });
  }
}

/** Lists attributes of an `--output` without any effect, one sentence each. */
export function withoutEffect(attributes: ReadonlyMap<string, string>): string[] {
  return [...attributes].flatMap(([key, value]) => {
    if (OBSOLETE_KEYS.includes(key)) return [`output attribute ${key} is ignored: BuildKit no longer has it either`];
    // A default value needs no message.
    const isUsual = value === "" || /^(0|f|false)$/i.test(value) === (key !== "oci-artifact");
    return ATTESTATION_KEYS.includes(key) && !isUsual
      ? [
          `output attribute ${key} is ignored: attestations are OCI artifacts in the index, and only --provenance asks for them`,
        ]
      : [];
  });
}

function imageOutput(type: "image" | "registry", attributes: ReadonlyMap<string, string>): ImageOutput {
  refuseOthers(type, attributes, [
    ...IMAGE_KEYS,
    ...["push", "push-by-digest", "registry.insecure", "store", "unpack", "prefer-nondist-layers"],
    ...["name-canonical", "dangling-name-prefix", ...DANGLING_ONLY_KEYS],
  ]);
  if (booleanOf(attributes, "prefer-nondist-layers", false)) {
    throw new BuildError("export/unsupported", 'Cannot use "prefer-nondist-layers=true"', {
      hint: "leave it out: layers of base images keep the type they came with",
    });
  }
  const prefix = attributes.get("dangling-name-prefix");
  const onlyWithoutNames = DANGLING_ONLY_KEYS.some((key) => booleanOf(attributes, key, false));
  const pushByDigest = booleanOf(attributes, "push-by-digest", false);
  return {
    kind: "image",
    image: imageOptions(attributes),
    // An image pushed under a name has this name here too, as with docker.
    store: booleanOf(attributes, "store", type === "image" || !pushByDigest),
    push: type === "registry" || booleanOf(attributes, "push", false),
    insecure: booleanOf(attributes, "registry.insecure", false),
    pushByDigest,
    unpack: booleanOf(attributes, "unpack", false),
    digestNames: {
      canonical: booleanOf(attributes, "name-canonical", false),
      danglingPrefix: prefix,
      dangling: onlyWithoutNames ? "without-names" : "always",
    },
  };
}

function imageOptions(attributes: ReadonlyMap<string, string>): ImageOptions {
  const mediaTypes = booleanOf(attributes, "oci-mediatypes", true) ? "oci" : "docker";
  const compression = compressionOf(attributes);
  const level = integerOf(attributes, "compression-level");
  const highest = LEVELS[compression ?? "gzip"];
  if (level !== undefined && (level < 0 || level > highest)) {
    throw usage(`compression-level for ${compression ?? "gzip"} is 0 to ${highest}, not ${level}`);
  }
  const annotations: AnnotationOption[] = [];
  for (const [key, value] of attributes) {
    if (!key.startsWith("annotation")) continue;
    annotations.push(annotationOf(key, value));
  }
  if (annotations.length > 0 && mediaTypes === "docker") {
    throw new BuildError("export/unsupported", 'Cannot export annotations with "oci-mediatypes=false"');
  }
  return {
    names: (attributes.get("name") ?? "").split(",").filter((name) => name !== "" && name !== "*"),
    compression,
    compressionLevel: level,
    forceCompression: booleanOf(attributes, "force-compression", false),
    mediaTypes,
    rewriteTimestamp: booleanOf(attributes, "rewrite-timestamp", false),
    sourceDateEpoch: integerOf(attributes, "source-date-epoch"),
    annotations,
    layerBytes: layerBytesOf(attributes.get("layers")),
  };
}

/** Parses `annotation[-TYPE][[PLATFORM]].KEY`, an output attribute. */
function annotationOf(name: string, value: string): AnnotationOption {
  const [, target = "manifest", platform, key] = ANNOTATION.exec(name) ?? [];
  if (key === undefined) throw usage(`${JSON.stringify(name)} is not an annotation`, 'write "annotation.KEY=VALUE"');
  return { target: annotationTarget(target), platform, key, value };
}

/**
 * Parses the target of an annotation.
 * @throws {BuildError} `cli/usage`
 */
export function annotationTarget(text: string): AnnotationOption["target"] {
  if (text === "manifest" || text === "manifest-descriptor" || text === "index" || text === "index-descriptor")
    return text;
  throw usage(
    `${JSON.stringify(text)} is not something that carries annotations`,
    "use manifest, manifest-descriptor, index or index-descriptor",
  );
}

/** Smallest size of parts. Smaller ones would be more layers than any engine takes. */
const LEAST_LAYER_BYTES = 1 << 20;

/** Parses `split:SIZE`, how large a layer may be. */
function layerBytesOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const size = text.startsWith("split:") ? parseSize(text.slice("split:".length)) : undefined;
  if (size === undefined)
    throw usage(`layers is "split:SIZE", not ${JSON.stringify(text)}`, "write layers=split:100MB");
  if (size >= LEAST_LAYER_BYTES && Number.isSafeInteger(size)) return size;
  throw usage(
    `layers of ${text.slice("split:".length)} are too ${size < LEAST_LAYER_BYTES ? "small" : "large"}`,
    "the least is 1MB",
  );
}

function compressionOf(attributes: ReadonlyMap<string, string>): Compression | undefined {
  const text = attributes.get("compression");
  if (text === undefined || text === "uncompressed" || text === "gzip" || text === "zstd") return text;
  throw new BuildError("export/unsupported", `Cannot compress layers as ${JSON.stringify(text)}`, {
    hint: "use uncompressed, gzip or zstd",
  });
}

function treeOptions(attributes: ReadonlyMap<string, string>): {
  readonly platformSplit: boolean | undefined;
  readonly sourceDateEpoch: number | undefined;
} {
  return {
    platformSplit: attributes.has("platform-split") ? booleanOf(attributes, "platform-split", true) : undefined,
    sourceDateEpoch: integerOf(attributes, "source-date-epoch"),
  };
}

// Go's strconv.ParseBool, which BuildKit uses.
function booleanOf(attributes: ReadonlyMap<string, string>, key: string, absent: boolean): boolean {
  const text = attributes.get(key);
  if (text === undefined) return absent;
  if (text === "" || /^(1|t|T|TRUE|true|True)$/.test(text)) return true;
  if (/^(0|f|F|FALSE|false|False)$/.test(text)) return false;
  throw usage(`${key} is true or false, not ${JSON.stringify(text)}`);
}

function integerOf(attributes: ReadonlyMap<string, string>, key: string): number | undefined {
  const text = attributes.get(key);
  if (text === undefined) return undefined;
  if (!/^\d{1,12}$/.test(text)) throw usage(`${key} is a number, not ${JSON.stringify(text)}`);
  return Number(text);
}

function refuseOthers(type: string, attributes: ReadonlyMap<string, string>, known: readonly string[]): void {
  for (const key of attributes.keys()) {
    if (key === "type" || key.startsWith("annotation") || known.includes(key)) continue;
    const near = suggest(key, known);
    throw usage(
      `type=${type} has no attribute ${JSON.stringify(key)}`,
      near === undefined ? `it knows ${known.length === 0 ? "none" : known.join(", ")}` : `did you mean ${near}?`,
    );
  }
}

function usage(why: string, hint?: string): BuildError {
  return new BuildError("cli/usage", `Cannot use --output: ${why}`, { hint });
}
