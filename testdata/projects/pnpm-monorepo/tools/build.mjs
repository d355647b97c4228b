// Copies an app and what it depends on, with its links resolved.
import { cpSync } from "node:fs";

const app = process.argv[process.argv.indexOf("--filter") + 1];
cpSync(`apps/${app}`, `dist/${app}`, { recursive: true });
cpSync("node_modules", `dist/${app}/node_modules`, { recursive: true, dereference: true });
