// Builds twice at the same time: the files of the result into a directory, and an OCI archive of the image.
import { join } from "node:path";
import { build } from "kiln";

const [context = ".", out = "out"] = process.argv.slice(2);
const archive = join(out, "image.tar");
await Promise.all([
  build({ context, outputs: [join(out, "files")] }),
  build({ context, outputs: [{ type: "oci", dest: archive }], buildArgs: { WHO: "an archive" } }),
]);
console.log(`files in ${join(out, "files")}, the image in ${archive}`);
