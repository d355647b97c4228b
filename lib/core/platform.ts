import { BuildError } from "./errors.ts";

/**
 * The platform of an image. OCI image-spec, image-index.md. An `undefined` variant means the architecture's default.
 */
export type Platform = {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly osVersion?: string;
  readonly osFeatures?: readonly string[];
};

const ARCHITECTURES: Readonly<Record<string, { readonly architecture: string; readonly variant?: string }>> = {
  x86_64: { architecture: "amd64" },
  "x86-64": { architecture: "amd64" },
  aarch64: { architecture: "arm64" },
  i386: { architecture: "386" },
  i486: { architecture: "386" },
  i586: { architecture: "386" },
  i686: { architecture: "386" },
  armhf: { architecture: "arm", variant: "v7" },
  armel: { architecture: "arm", variant: "v6" },
};
const KNOWN_ARCHITECTURES = new Set(
  "386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x wasm".split(" "),
);
const KNOWN_SYSTEMS = new Set("linux windows darwin freebsd wasip1 js".split(" "));

/** Returns canonical names: `x86_64` becomes `amd64`, and redundant variants (`amd64/v1`, `arm64/v8`) are dropped. */
export function normalizePlatform(platform: Platform): Platform {
  const os = platform.os.toLowerCase() === "macos" ? "darwin" : platform.os.toLowerCase();
  const name = platform.architecture.toLowerCase();
  const known = Object.hasOwn(ARCHITECTURES, name) ? ARCHITECTURES[name] : undefined;
  const architecture = known?.architecture ?? name;
  let variant: string | undefined = platform.variant?.toLowerCase() || known?.variant;
  if (architecture === "arm" && (variant === undefined || variant === "7")) variant = "v7";
  if (architecture === "arm" && variant !== undefined && /^[5-8]$/.test(variant)) variant = `v${variant}`;
  if (architecture === "arm64" && (variant === "v8" || variant === "8")) variant = undefined;
  if (architecture === "amd64" && variant === "v1") variant = undefined;
  return {
    os,
    architecture,
    ...(variant === undefined ? {} : { variant }),
    ...(platform.osVersion ? { osVersion: platform.osVersion } : {}),
    ...(platform.osFeatures?.length ? { osFeatures: platform.osFeatures } : {}),
  };
}

/**
 * Parses `os/arch[/variant]`, or one part, completed from the host's platform: `arm64`, `linux`. The full form is
 * `os(version+feature)/arch/variant`.
 * @throws {BuildError} `platform/malformed`
 */
export function parsePlatform(text: string, host: Platform): Platform {
  const bad = (why: string): BuildError =>
    new BuildError("platform/malformed", `Cannot parse platform ${JSON.stringify(text)}: ${why}`, {
      hint: 'write it like "linux/amd64" or "linux/arm/v7"',
    });
  const parts = text.split("/");
  if (parts.length > 3) throw bad("it has more than three parts");
  const [first = "", second, third] = parts;
  const system = /^([A-Za-z0-9_.-]+)(?:\(([^()]*)\))?$/.exec(first);
  if (!system) throw bad(`${JSON.stringify(first)} is not an operating system`);
  const [, os = "", versionText] = system;
  const [osVersion, ...osFeatures] = versionText?.split("+") ?? [];
  const extra = { ...(osVersion ? { osVersion } : {}), ...(osFeatures.length ? { osFeatures } : {}) };
  if (second === undefined) {
    const name = os.toLowerCase();
    if (KNOWN_SYSTEMS.has(name) || name === "macos") {
      return normalizePlatform({ ...extra, os: name, architecture: host.architecture, ...variantOf(host) });
    }
    if (Object.hasOwn(ARCHITECTURES, name) || KNOWN_ARCHITECTURES.has(name)) {
      return normalizePlatform({ ...extra, os: host.os, architecture: name });
    }
    throw bad(`${JSON.stringify(first)} is neither an operating system nor an architecture`);
  }
  for (const part of [second, third]) {
    if (part !== undefined && !/^[A-Za-z0-9_.-]+$/.test(part)) throw bad(`${JSON.stringify(part)} is not a name`);
  }
  return normalizePlatform({ ...extra, os, architecture: second, ...(third === undefined ? {} : { variant: third }) });
}

/** Writes `linux/arm/v7`; with `version`, also the part in brackets. */
export function formatPlatform(platform: Platform, form: "short" | "version" = "short"): string {
  const details = [platform.osVersion ?? "", ...(platform.osFeatures ?? [])].join("+");
  const os = form === "version" && details !== "" ? `${platform.os}(${details})` : platform.os;
  return [os, platform.architecture, ...(platform.variant === undefined ? [] : [platform.variant])].join("/");
}

export function samePlatform(a: Platform, b: Platform): boolean {
  const left = normalizePlatform(a);
  const right = normalizePlatform(b);
  return left.os === right.os && left.architecture === right.architecture && left.variant === right.variant;
}

/**
 * Lists the platforms of an index that a machine of platform `wanted` can run, best first: itself, then older variants.
 * arm/v7 takes v6 and v5, amd64/v3 takes v2 and the baseline.
 */
export function platformPreference(wanted: Platform): readonly Platform[] {
  const platform = normalizePlatform(wanted);
  // Accept one digit, as in all real variants: a huge number would make an endless list.
  const level = /^v(\d)$/.exec(platform.variant ?? "")?.[1];
  if (level === undefined) return [platform];
  const lowest = platform.architecture === "arm" ? 5 : 1;
  const older: Platform[] = [];
  for (let v = Number(level) - 1; v >= lowest; v -= 1) older.push(normalizePlatform({ ...platform, variant: `v${v}` }));
  return [platform, ...older];
}

/** Translates Node's words for a machine (`process.platform`, `process.arch`) into the specification's. */
export function platformOfNode(platform: string, arch: string): Platform {
  const names: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386", ppc64: "ppc64le", mipsel: "mipsle" };
  return normalizePlatform({ os: platform, architecture: names[arch] ?? arch });
}

function variantOf(platform: Platform): { readonly variant?: string } {
  return platform.variant === undefined ? {} : { variant: platform.variant };
}
