// Bundles the command line into CommonJS files: kiln.cjs, the source of the startup snapshot, and beside it the parts that
// few runs need, each loaded by the import() that names it.
import { readFile, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "rolldown";

const root = join(import.meta.dirname, "..");
/** Names of the plugins that changed a bundle: a new version of a package may keep its parts elsewhere. */
const replaced = new Set();
const output = (name) => join(root, "build", `${name}.cjs`);
/** Folder of the parts of kiln that are loaded late. */
const LATE = "late";

/**
 * The HTTP client is half of all the code, and every start reads the whole snapshot. So the client is a file of its
 * own, loaded when a registry is needed. A deserialised snapshot's own require() knows only built-in modules.
 */
const undiciFromItsFile = inPlaceOf(
  "undici",
  `const { resolve } = require("node:path");
   const directory = process.env.KILN_HOME === undefined ? __dirname : resolve(process.env.KILN_HOME, "build");
   module.exports = require("node:module").createRequire(directory + "/kiln.cjs")("./undici.cjs");`,
);

/** The parts of undici that lib/registry uses: its index would load fetch, WebSocket and caches too. */
const partOfUndici = inPlaceOf(
  "undici",
  `Object.assign(require("undici/lib/dispatcher/dispatcher.js").prototype, require("undici/lib/api"));
   exports.Agent = require("undici/lib/dispatcher/agent.js");
   Object.defineProperty(exports, "ProxyAgent", { get: () => require("undici/lib/dispatcher/proxy-agent.js") });`,
);

/**
 * undici has HTTP/2 at hand for those who allow it. lib/registry does not, and Node's module for it, with TLS behind it, takes
 * longer to load than all of undici.
 */
const withoutHttp2 = {
  name: "without-http2",
  resolveId: (source) => (source.endsWith("/client-h2.js") ? join(root, "client-h2.virtual.cjs") : undefined),
  load: (found) =>
    found === join(root, "client-h2.virtual.cjs")
      ? inserted("without-http2", 'module.exports = () => { throw new Error("HTTP/2 is not allowed"); };')
      : undefined,
};

/** undici's second parser of HTTP is an experiment that is off, and with a copy of it for each kind of processor a third of its code. */
const withoutMilo = {
  name: "without-milo",
  resolveId: (source) => (/\/milo\/(?:no-)?simd\.js$/.test(source) ? join(root, "milo.virtual.cjs") : undefined),
  load: (found) =>
    found === join(root, "milo.virtual.cjs")
      ? inserted("without-milo", 'throw new Error("This parser is not here");')
      : undefined,
};

/**
 * Our own lexer makes chevrotain's tokens. We use one constant of chevrotain's lexer, which otherwise brings a parser
 * of regular expressions.
 */
const constantOfLexer = {
  name: "constant-of-lexer",
  resolveId: (source) => (source.endsWith("/lexer_public.js") ? "lexer.virtual.js" : undefined),
  load: (found) =>
    found === "lexer.virtual.js"
      ? inserted(
          "constant-of-lexer",
          "export const Lexer = { NA: /NOT_APPLICABLE/ }; export const LexerDefinitionErrorType = {};",
        )
      : undefined,
};

/** Puts modules that every build imports late into the snapshot all the same. */
const everyBuildsParts = {
  name: "every-builds-parts",
  resolveId: (source) => (source === "start.virtual.js" ? join(root, source) : undefined),
  load: (found) =>
    found === join(root, "start.virtual.js")
      ? ["src/engine/build.ts", "src/cli/build-report.ts", "src/cli/snapshot.ts"]
          .map((file) => `import ${JSON.stringify(join(root, file))};`)
          .join("\n")
      : undefined,
};

/**
 * A deserialised snapshot's own require() knows only built-in modules. So kiln.cjs loads its late parts by a require() that
 * knows files, after it has put itself where they look for what they share with it.
 */
const lateFromFiles = {
  name: "late-from-files",
  renderChunk(code, chunk) {
    if (!chunk.isEntry) return undefined;
    const rewritten = code.replaceAll(/require\((["'`])\.\/late\//g, "requireLate($1./late/");
    return { code: `${inserted("late-from-files", rewritten)}\n${REQUIRE_LATE}`, map: null };
  },
  // The bundler's own helpers are wanted at once. They keep no state, so each file may have its own. Behind everything else,
  // they leave the source map true.
  generateBundle(_options, files) {
    const helpers = files[`${LATE}/${HELPERS}.cjs`];
    const start = files["kiln.cjs"];
    if (helpers === undefined || start === undefined) throw new Error("kiln: the bundle has no helpers to insert");
    start.code += `function lateHelpers(){const exports={};${helpers.code};return exports}`;
  },
};

const HELPERS = "rolldown-runtime";

const REQUIRE_LATE = `function requireLate(name) {
  if (name === "./late/${HELPERS}.cjs") return lateHelpers();
  const { resolve } = require("node:path");
  const Module = require("node:module");
  const own = process.env.KILN_HOME === undefined ? __filename : resolve(process.env.KILN_HOME, "build", "kiln.cjs");
  if (Module._cache[own] === undefined) {
    const self = new Module(own);
    self.exports = exports;
    self.loaded = true;
    Module._cache[own] = self;
  }
  return Module.createRequire(own)(name);
}
`;

await rm(join(root, "build", LATE), { recursive: true, force: true });
await bundle("kiln", "start.virtual.js", [everyBuildsParts, undiciFromItsFile, constantOfLexer, lateFromFiles]);
await bundle("undici", "undici", [partOfUndici, withoutHttp2, withoutMilo]);
await bundle("complete", join(root, "src/cli/completion/main.ts"), []);
for (const plugin of [undiciFromItsFile, partOfUndici, withoutHttp2, withoutMilo, constantOfLexer, lateFromFiles]) {
  if (!replaced.has(plugin.name)) throw new Error(`kiln: the bundle does not use what "${plugin.name}" stands in for`);
}
await toAscii(output("kiln"));
await writeFile(join(root, "build", "errors.json"), JSON.stringify(await errorPages()));

/** The pages of errors by their codes, for `kiln explain`. */
async function errorPages() {
  const folder = join(root, "docs", "errors");
  const files = (await readdir(folder, { recursive: true })).filter((file) => file.endsWith(".md")).toSorted();
  const page = async (file) => [file.slice(0, -".md".length), await readFile(join(folder, file), "utf8")];
  return Object.fromEntries(await Promise.all(files.map(page)));
}

async function bundle(name, input, plugins) {
  await rm(output(name), { force: true });
  await build({
    input,
    plugins,
    platform: "node",
    logLevel: "warn",
    // Meant: see "every-builds-parts".
    checks: { ineffectiveDynamicImport: false },
    output: {
      dir: join(root, "build"),
      entryFileNames: `${name}.cjs`,
      chunkFileNames: `${LATE}/[name].cjs`,
      format: "cjs",
      // A file beside the bundle, read only when a stack is printed.
      sourcemap: name === "kiln" ? "hidden" : false,
      codeSplitting:
        name === "kiln"
          ? {
              // All that every start has, in one file: what late parts share with it must not be there a second time.
              groups: [{ name: "start", tags: ["$initial"] }],
            }
          : false,
      // import() needs a loader that a deserialised snapshot does not have; require() of built-in modules works there.
      dynamicImportInCjs: false,
      minify: { compress: true, mangle: false, codegen: true },
    },
  });
}

function inPlaceOf(name, code) {
  // In the root, so that the code's requires resolve in its node_modules.
  const id = join(root, `${name}.virtual.cjs`);
  return {
    name: `in-place-of-${name}`,
    resolveId: (source) => (source === name ? id : undefined),
    load: (found) => (found === id ? inserted(`in-place-of-${name}`, code) : undefined),
  };
}

function inserted(name, code) {
  replaced.add(name);
  return code;
}

/**
 * Escapes all characters beyond ASCII: with one character above U+00FF, V8 keeps the whole source, and so the snapshot,
 * with two bytes for each. The source map is shifted for the escapes (each is five columns wider than its character)
 * and loses the sources, because names are enough.
 */
async function toAscii(file) {
  const text = await readFile(file, "utf8");
  const escaped = (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  // eslint-disable-next-line no-control-regex
  const lines = text.split("\n").map((line) => line.replaceAll(/[^\x00-\x7f]/g, escaped));
  await writeFile(file, lines.join("\n"));
  const escapes = text.split("\n").map((line) => {
    // eslint-disable-next-line no-control-regex
    return [...line.matchAll(/[^\x00-\x7f]/gu)].flatMap(({ index, 0: found }) =>
      Array.from(found, (_, unit) => index + unit),
    );
  });
  const map = JSON.parse(await readFile(`${file}.map`, "utf8"));
  delete map.sourcesContent;
  await writeFile(`${file}.map`, JSON.stringify({ ...map, escapes }));
}
