// Takes out of a startup snapshot the compile cache of Node's built-in modules: a third of the file, which every start
// would read. The modules kiln uses are in the heap of the snapshot, compiled; the few it loads later compile in a moment.
// (Built with `withoutCodeCache` the file is smaller still, but those in the heap are then compiled when they are called.)
import { readFileSync, writeFileSync } from "node:fs";
import { withoutCompileCache } from "./compile-cache.ts";

/** The major version of Node whose snapshots are known to end as compile-cache.ts says. */
const KNOWN_MAJOR = "24";

const [path] = process.argv.slice(2);
const major = process.versions.node.split(".")[0];
const slim = major === KNOWN_MAJOR ? withoutCompileCache(readFileSync(path)) : undefined;
if (slim === undefined) {
  console.warn("kiln: this Node's snapshots have another form: the start stays a few milliseconds slower");
} else {
  writeFileSync(path, slim);
}
