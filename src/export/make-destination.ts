import { BuildError, messageOf } from "../core/errors.ts";
import { makeDirectory } from "../core/make-directory.ts";

/** The directory that an output goes to, made where it is missing. @throws {BuildError} `export/failed` */
export function makeDestination(path: string): void {
  try {
    makeDirectory(path);
  } catch (error) {
    throw new BuildError("export/failed", `Cannot make the directory "${path}": ${messageOf(error)}`, { cause: error });
  }
}
