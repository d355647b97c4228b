import { BuildError } from "../core/errors.ts";
import type { Compression } from "../core/oci.ts";
import type { AnnotationOption, ImageOptions, OutputSpec } from "./output-spec.ts";

const ANNOTATION = /^annotation(?:-([a-z-]+))?(?:\[([A-Za-z0-9_/-]+)\])?\.(\S+)$/;
const LEVELS: Readonly<Record<Compression, number>> = { uncompressed: 0, gzip: 9, zstd: 22 };
const IMAGE_KEYS = [
  "name",
  "compression",
  "compression-level",
  "force-compression",
  "oci-mediatypes",
  "rewrite-timestamp",
  "source-date-epoch",
  "attestation-inline",
  "buildinfo",
  "buildinfo-attrs",
];

/**
 * Reads the attributes of one `--output`: BuildKit's names and defaults.
 * @throws {BuildError} `export/unsupported` for what kiln cannot write, `cli/usage` for what makes no sense.
 */
export function parseOutput(attributes: ReadonlyMap<string, string>): OutputSpec {
  const type = attributes.get("type");
  switch (type) {
    case undefined:
      throw usage("type is required", 'write "type=local,dest=out", or only a path');
    case "image":
    case "registry": {
      const push = type === "registry" || booleanOf(attributes, "push", false);
      const insecure = booleanOf(attributes, "registry.insecure", false);
      refuseOthers(type, attributes, [
        ...IMAGE_KEYS,
        ...["push", "registry.insecure", "store", "unpack", "dangling-name-prefix", "name-canonical", "push-by-digest"],
        "prefer-nondist-layers",
      ]);
      if (booleanOf(attributes, "push-by-digest", false)) {
        throw new BuildError("export/unsupported", 'Cannot push with "push-by-digest=true": every push needs a name');
      }
      const store = booleanOf(attributes, "store", type === "image");
      return { kind: "image", image: imageOptions(type, attributes), store, push, insecure };
    }
    case "oci":
    case "docker": {
      refuseOthers(type, attributes, [...IMAGE_KEYS, "dest", "tar", "context"]);
      const form = booleanOf(attributes, "tar", true) ? "tar" : "directory";
      const destination = attributes.get("dest") ?? (form === "tar" ? "-" : undefined);
      if (destination === undefined) throw usage(`dest is required for type=${type},tar=false`);
      return { kind: type, image: imageOptions(type, attributes), destination, form };
    }
    case "local": {
      const destination = attributes.get("dest");
      refuseOthers(type, attributes, ["dest", "platform-split", "mode", "attestation-prefix", "source-date-epoch"]);
      if (destination === undefined) throw usage("dest is required for type=local");
      const mode = attributes.get("mode") ?? "copy";
      if (mode !== "copy" && mode !== "delete") throw usage(`mode is "copy" or "delete", not ${JSON.stringify(mode)}`);
      return { kind: "local", destination, mode, ...treeOptions(attributes) };
    }
    case "tar":
      refuseOthers(type, attributes, ["dest", "platform-split", "attestation-prefix", "source-date-epoch"]);
      return { kind: "tar", destination: attributes.get("dest") ?? "-", ...treeOptions(attributes) };
    case "cacheonly":
      return { kind: "cacheonly" };
    default:
      throw new BuildError("export/unsupported", `Cannot write output type ${JSON.stringify(type)}`, {
        hint: "types: image, registry, oci, docker, local, tar, cacheonly",
      });
  }
}

function imageOptions(type: string, attributes: ReadonlyMap<string, string>): ImageOptions {
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
    mediaTypes: type === "docker" && !attributes.has("oci-mediatypes") ? "oci" : mediaTypes,
    rewriteTimestamp: booleanOf(attributes, "rewrite-timestamp", false),
    sourceDateEpoch: integerOf(attributes, "source-date-epoch"),
    annotations,
  };
}

/** `annotation[-TYPE][[PLATFORM]].KEY`, as an output attribute. */
function annotationOf(name: string, value: string): AnnotationOption {
  const [, target = "manifest", platform, key] = ANNOTATION.exec(name) ?? [];
  if (key === undefined) throw usage(`${JSON.stringify(name)} is not an annotation`, 'write "annotation.KEY=VALUE"');
  return { target: annotationTarget(target), platform, key, value };
}

/** @throws {BuildError} `cli/usage` */
export function annotationTarget(text: string): AnnotationOption["target"] {
  if (text === "manifest" || text === "manifest-descriptor" || text === "index" || text === "index-descriptor")
    return text;
  throw usage(
    `${JSON.stringify(text)} is not something that carries annotations`,
    "use manifest, manifest-descriptor, index or index-descriptor",
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

// Go's strconv.ParseBool, which BuildKit reads these with.
function booleanOf(attributes: ReadonlyMap<string, string>, key: string, absent: boolean): boolean {
  const text = attributes.get(key);
  if (text === undefined) return absent;
  if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true;
  if (/^(0|f|F|FALSE|false|False)$/.test(text)) return false;
  throw usage(`${key} is true or false, not ${JSON.stringify(text)}`);
}

function integerOf(attributes: ReadonlyMap<string, string>, key: string): number | undefined {
  const text = attributes.get(key);
  if (text === undefined || text === "") return undefined;
  if (!/^\d{1,12}$/.test(text)) throw usage(`${key} is a number, not ${JSON.stringify(text)}`);
  return Number(text);
}

function refuseOthers(type: string, attributes: ReadonlyMap<string, string>, known: readonly string[]): void {
  for (const key of attributes.keys()) {
    if (key === "type" || key.startsWith("annotation") || known.includes(key)) continue;
    throw usage(`type=${type} has no attribute ${JSON.stringify(key)}`, `it knows ${known.join(", ")}`);
  }
}

function usage(why: string, hint?: string): BuildError {
  return new BuildError("cli/usage", `Cannot use --output: ${why}`, { hint });
}
