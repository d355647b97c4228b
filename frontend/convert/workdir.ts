import type { WorkdirInstruction } from "../instructions/instruction.ts";
import { workdirRelativePath } from "../lint/rules/workdir-relative-path.ts";
import { parseOwner, parseOwnerInEmpty } from "./owner.ts";
import { type Shared, type StageState, absolutePath, expandIn, record } from "./stage-state.ts";
import { platformPath } from "./windows-path.ts";
import { addVertex, displayText, nextStepName } from "./step.ts";

/** Changes the working directory and creates it in a layer of its own, owned by the stage's user. `/` always exists. */
export function convertWorkdir(state: StageState, instruction: WorkdirInstruction, shared: Shared): void {
  const given = expandIn(state, instruction.path, instruction, shared);
  const path = platformPath(given, state.platform, instruction.path.span);
  if (!state.image.hasWorkdir && !path.startsWith("/")) shared.linter.report(workdirRelativePath, instruction, given);
  state.image.hasWorkdir = true;
  const workdir = absolutePath(state, path);
  // Docker cleans only a path that it joins: an absolute path stays in the image as written.
  state.image.workdir = path.startsWith("/") && state.platform.os !== "windows" ? path : workdir;
  const createdBy = `WORKDIR ${state.image.workdir}`;
  if (workdir === "/") {
    record(state, createdBy);
    return;
  }
  const user = state.image.config.User ?? "";
  const parse = state.tree === undefined ? parseOwnerInEmpty : parseOwner;
  const name = nextStepName(state, shared, displayText(instruction, state.environment, shared));
  const made = addVertex(
    shared,
    state,
    {
      op: {
        kind: "file",
        base: state.tree === undefined ? "scratch" : "input",
        actions: [
          {
            kind: "mkdir",
            path: workdir,
            mode: 0o755,
            owner: user === "" ? undefined : parse(user, instruction.span),
            timestamp: shared.epoch,
          },
        ],
      },
      inputs: state.tree === undefined ? [] : [state.tree],
    },
    { name, instruction: createdBy, span: instruction.span },
    // As in BuildKit, --no-cache concerns RUN, COPY and ADD only.
    "use",
  );
  state.tree = made;
  record(state, createdBy, made);
}
