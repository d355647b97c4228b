// What `node --build-snapshot` runs: build/kiln.cjs, with all its functions compiled at once. Functions are otherwise
// compiled when they are first called, and in a short run that takes longer than calling them.
"use strict";
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { setFlagsFromString } = require("node:v8");
const { compileFunction } = require("node:vm");

// Equal sources are to make equal snapshots, wherever they lie: the bundle is called by a name that is no place.
const directory = "/kiln/build";
const file = join(directory, "kiln.cjs");
// The file is ASCII. Read as UTF-8 it would be the same text in a string of another kind, twice as large.
const source = readFileSync(join(__dirname, "../build/kiln.cjs"), "latin1");
setFlagsFromString("--no-lazy");
const run = compileFunction(source, ["require", "module", "exports", "__dirname", "__filename"], { filename: file });
// Node compares flags with those its own compiled modules were made with.
setFlagsFromString("--lazy");
const module_ = { exports: {} };
run(require, module_, module_.exports, directory, file);

// A starting process sets these, and what stands here until then is part of the file.
for (const [name, value] of Object.entries({ pid: 1, execPath: "node", argv0: "node", argv: [] })) {
  Object.defineProperty(process, name, { ...Object.getOwnPropertyDescriptor(process, name), value });
}

// Node keeps the numbers of the file that it asked for last, this one's or the bundle's: its inode and times.
const { statValues } = process.binding("fs");
if (!(statValues instanceof Float64Array)) throw new Error("kiln: this Node keeps a file's numbers elsewhere");
statValues.fill(0);
