import { join, resolve } from "node:path";
import { startupSnapshot } from "node:v8";
import { prepareParser } from "../../frontend/syntax/instruction-parser.ts";
import { main } from "./main.ts";
import { nodeHost, written } from "./node-host.ts";
import { prepareProgram } from "./program.ts";

/*
 * The bundle's entry. While the startup snapshot is built, this file only names the function to start with; the
 * snapshot saves all modules above it, evaluated. As a plain script, the bundle starts at once.
 */
const start = async (form: "snapshot" | "script"): Promise<void> => {
  const home = process.env["KILN_HOME"];
  // The launcher avoids the forks for an absolute path; code that runs in other directories needs one.
  const directory = home === undefined ? join(process.argv[1] ?? ".", "..") : resolve(home, "build");
  // With --snapshot-blob there is no script among the arguments, so they begin one place earlier.
  const status = await main(process.argv.slice(form === "script" ? 2 : 1), nodeHost({ directory, bundled: true }));
  await written();
  // Nothing is left to wait for except errors of the last writes. On its own, Node would take the heap apart first,
  // object by object.
  setImmediate(() => process.exit(status));
};

if (startupSnapshot.isBuildingSnapshot()) {
  prepareParser();
  prepareProgram();
  startupSnapshot.setDeserializeMainFunction(() => void start("snapshot"));
} else {
  void start("script");
}
