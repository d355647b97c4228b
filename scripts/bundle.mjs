// Bundles the command line into one CommonJS file, the source of the startup snapshot, and beside it the parts that few
// runs need.
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "rolldown";

const root = join(import.meta.dirname, "..");
/** Names of the plugins that changed a bundle: a new version of a package may keep its parts elsewhere. */
const replaced = new Set();
const output = (name) => join(root, "build", `${name}.cjs`);

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

/**
 * The parts of undici that lib/registry uses: its index would load WebSocket and caches too, and fetch before it is
 * called.
 */
const partOfUndici = inPlaceOf(
  "undici",
  `Object.assign(require("undici/lib/dispatcher/dispatcher.js").prototype, require("undici/lib/api"));
   exports.Agent = require("undici/lib/dispatcher/agent.js");
   exports.EnvHttpProxyAgent = require("undici/lib/dispatcher/env-http-proxy-agent.js");
   exports.fetch = (url, init) => require("undici/lib/web/fetch").fetch(url, init);`,
);

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

await bundle("kiln", join(root, "src/cli/snapshot.ts"), [undiciFromItsFile, constantOfLexer]);
await bundle("undici", "undici", [partOfUndici]);
for (const plugin of [undiciFromItsFile, partOfUndici, constantOfLexer]) {
  if (!replaced.has(plugin.name)) throw new Error(`kiln: the bundle does not use what "${plugin.name}" stands in for`);
}
await toAscii(output("kiln"));

async function bundle(name, input, plugins) {
  await rm(output(name), { force: true });
  await build({
    input,
    plugins,
    platform: "node",
    logLevel: "warn",
    output: {
      file: output(name),
      format: "cjs",
      // A file beside the bundle, read only when a stack is printed.
      sourcemap: name === "kiln" ? "hidden" : false,
      codeSplitting: false,
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
