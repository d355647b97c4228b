/**
 * Files of build/ that every form of kiln consists of, besides those of a machine: paths below build/ in, the same out, sorted.
 * What no rule names is not published.
 */
export function bundleFiles(built: readonly string[]): readonly string[] {
  return built.filter((path) => BUNDLE.test(path)).toSorted();
}

/** Files of build/ for programs that import kiln: in the npm package only. */
export function libraryFiles(built: readonly string[]): readonly string[] {
  return built.filter((path) => LIBRARY.test(path)).toSorted();
}

/** Maps are read when a stack is printed: a report of a fault names the sources. */
const BUNDLE =
  /^(?:(?:kiln|undici|complete)\.cjs|kiln\.cjs\.map|version|(?:commands|errors)\.json|report\.html|late\/[\w.-]+\.cjs(?:\.map)?)$/;
const LIBRARY = /^(?:library\/[\w.-]+\.js|types\/[\w./-]+\.d\.ts)$/;

/** Files of the repository that are published as they are. */
export const PAGES = ["CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md"];

/** Files of each machine, below its own folder. */
export const PARTS = ["kiln-runtime", "kiln.blob", "kiln.node"];

interface Manifest {
  readonly [name: string]: unknown;
}

/** Members of package.json that users of the package need. Everything else there is for those who work on kiln. */
const KEPT = ["name", "version", "description", "license", "bin", "type", "exports", "optionalDependencies", "engines"];

/** Makes the published package.json. The bundles hold the packages they use, so it depends on Node alone. */
export function publishedManifest(manifest: Manifest, manuals: readonly string[], commit: string): string {
  const kept = Object.fromEntries(KEPT.map((name) => [name, manifest[name]]));
  const published = {
    ...kept,
    gitHead: commit,
    os: ["linux"],
    cpu: ["x64", "arm64"],
    // Programs in TypeScript have these; the command line needs none.
    peerDependencies: { "@types/node": ">=22" },
    peerDependenciesMeta: { "@types/node": { optional: true } },
    man: manuals.map((name) => `./share/man/man1/${name}`),
  };
  return `${JSON.stringify(published, null, 2)}\n`;
}
