// Follows a build step by step, and gives it a minute.
import { build } from "kiln";

const [context = "."] = process.argv.slice(2);
const running = build({ context, signal: AbortSignal.timeout(60_000), noCache: true });
const names = new Map();
for await (const event of running) {
  switch (event.kind) {
    case "step-started":
      names.set(event.id, { name: event.name, atMs: event.atMs });
      break;
    case "step-cached":
      console.log(`cached  ${event.name}`);
      break;
    case "step-done": {
      const step = names.get(event.id);
      if (step !== undefined) console.log(`${(event.atMs - step.atMs).toFixed(0).padStart(4)} ms ${step.name}`);
      break;
    }
    case "log":
      process.stderr.write(event.data);
      break;
    default:
  }
}
// The iteration throws what the build throws, so here the build has succeeded.
const { imageId } = await running;
console.log(imageId);
