import { BuildError } from "../../lib/core/errors.ts";
import type { RunInstruction } from "../instructions/instruction.ts";

/**
 * Refuses a command that asks for devices by their CDI names.
 * @throws {BuildError} `runtime/unsupported`
 */
export function refuseDevices({ devices }: RunInstruction): void {
  const [first] = devices;
  if (first === undefined) return;
  throw new BuildError(
    "runtime/unsupported",
    `Cannot give the device ${JSON.stringify(first.text)} to a step: kiln has no CDI devices`,
    {
      span: first.span,
      hint: "RUN --security=insecure sees all device nodes of this machine (allow it with --allow security.insecure); or run what needs the device outside of the build",
    },
  );
}
