import { BuildError, unreachable } from "../../lib/core/errors.ts";
import type { StageInstruction } from "../instructions/instruction.ts";
import { convertCopy } from "./copy.ts";
import {
  convertArg,
  convertCmd,
  convertEntrypoint,
  convertEnv,
  convertExpose,
  convertHealthcheck,
  convertLabel,
  convertShell,
  convertStopsignal,
  convertUser,
  convertVolume,
} from "./metadata.ts";
import { convertRun } from "./run.ts";
import { type Shared, type StageState, record } from "./stage-state.ts";
import { convertWorkdir } from "./workdir.ts";

/**
 * Applies one instruction to the stage.
 * @throws {BuildError} with the instruction's place
 */
export function convertInstruction(state: StageState, instruction: StageInstruction, shared: Shared): void {
  try {
    dispatch(state, instruction, shared);
  } catch (error) {
    // Most errors know their word. The others get the place of the instruction.
    if (!(error instanceof BuildError) || error.span !== undefined) throw error;
    throw error.at(instruction.span);
  }
}

function dispatch(state: StageState, instruction: StageInstruction, shared: Shared): void {
  switch (instruction.kind) {
    case "add":
    case "copy":
      return convertCopy(state, instruction, shared);
    case "arg":
      return convertArg(state, instruction, shared);
    case "cmd":
      return convertCmd(state, instruction, shared);
    case "entrypoint":
      return convertEntrypoint(state, instruction, shared);
    case "env":
      return convertEnv(state, instruction, shared);
    case "expose":
      return convertExpose(state, instruction, shared);
    case "healthcheck":
      return convertHealthcheck(state, instruction, shared);
    case "label":
      return convertLabel(state, instruction, shared);
    case "maintainer":
      state.image.author = instruction.name.text;
      return record(state, `MAINTAINER ${instruction.name.text}`);
    case "onbuild":
      // ONBUILD leaves no history entry; the trigger leaves one in the child image.
      state.image.onbuild.push(instruction.trigger);
      return undefined;
    case "run":
      return convertRun(state, instruction, shared);
    case "shell":
      return convertShell(state, instruction);
    case "stopsignal":
      return convertStopsignal(state, instruction, shared);
    case "user":
      return convertUser(state, instruction, shared);
    case "volume":
      return convertVolume(state, instruction, shared);
    case "workdir":
      return convertWorkdir(state, instruction, shared);
    default:
      return unreachable(instruction);
  }
}
