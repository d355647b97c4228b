import { join } from "node:path";
import { main } from "./main.ts";
import { nodeHost } from "./node-host.ts";

// kiln from its sources: needs only the compiled parts in build/.
const directory = join(import.meta.dirname, "..", "..", "build");
process.exitCode = await main(process.argv.slice(2), nodeHost({ directory, bundled: false }));
