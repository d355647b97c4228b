// Builds an image into kiln's store, and shows what is in it.
import { BuildError, build, inspect } from "kiln";

const [context = "."] = process.argv.slice(2);
try {
  const { imageId, steps } = await build({
    context,
    tags: ["example:latest"],
    labels: { "org.example.by": "build.mjs" },
  });
  const { Config, Size } = await inspect("example:latest");
  console.log(`${imageId}: ${steps.total} steps, ${steps.cached} of them cached, ${Size} bytes`);
  console.log(
    `it runs ${JSON.stringify(Config.Cmd ?? Config.Entrypoint)} and has the labels ${JSON.stringify(Config.Labels)}`,
  );
} catch (error) {
  // Every error that a user can do something about is a BuildError; docs/errors has a page for each code.
  if (!(error instanceof BuildError)) throw error;
  console.error(`${error.code}: ${error.message}`);
  if (error.hint !== undefined) console.error(error.hint);
  process.exitCode = 1;
}
