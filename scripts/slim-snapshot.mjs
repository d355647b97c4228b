// Removes the compile cache of Node's built-in modules from a startup snapshot: a third of the file, which every start
// would read. The modules that kiln uses are in the heap of the snapshot, compiled; the few it loads later compile in a
// moment. (A snapshot built with `withoutCodeCache` is smaller still, but then the modules in the heap compile when
// they are called.)
import { readFileSync, writeFileSync } from "node:fs";
import { withoutCompileCache } from "./compile-cache.ts";

/** The major version of Node with snapshots that end as compile-cache.ts describes. */
const KNOWN_MAJOR = "24";

const [path] = process.argv.slice(2);
const major = process.versions.node.split(".")[0];
const slim = major === KNOWN_MAJOR ? withoutCompileCache(readFileSync(path)) : undefined;
if (slim === undefined) {
  console.warn("kiln: this Node's snapshots have another form: the start stays a few milliseconds slower");
} else {
  writeFileSync(path, slim);
}
