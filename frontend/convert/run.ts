import type { BuildError } from "../../lib/core/errors.ts";
import type { Span } from "../../lib/core/span.ts";
import type { ExecMount, ExecOp } from "../../solver/graph/op.ts";
import { type RunInstruction, heredocText } from "../instructions/instruction.ts";
import { isHeredocWord, type Heredoc } from "../syntax/heredoc.ts";
import { refuseDevices } from "./devices.ts";
import { inShell } from "./metadata.ts";
import { type MountedTrees, convertMounts } from "./mounts.ts";
import { type Shared, type StageState, absolutePath, instructionError, record } from "./stage-state.ts";
import { addInternal, addVertex, displayText, instructionText, nextStepName } from "./step.ts";
import type { Variables } from "../words/expander.ts";
import { textTime } from "./uniform-source.ts";

/** Converts RUN: one command in a layer of its own. */
export function convertRun(state: StageState, instruction: RunInstruction, shared: Shared): void {
  refuseDevices(instruction);
  const trees: MountedTrees = state.tree === undefined ? [] : [state.tree];
  const mounts = convertMounts(state, instruction, shared, trees);
  const { argv, script, summary } = readCommand(state, instruction);
  if (script !== undefined) mounts.push(mountScript(script, shared, trees));
  const shown = displayText(instruction, hideSecrets(state.environment, mounts), shared, "commands") + summary;
  const made = addVertex(
    shared,
    state,
    { op: execOp(state, instruction, shared, { argv, mounts }), inputs: trees },
    {
      name: nextStepName(state, shared, shown),
      // Without values: a changed ARG should show up as the difference, not make this a different instruction.
      instruction: instructionText(instruction) + summary,
      span: instruction.span,
    },
  );
  state.tree = made;
  const summaryOfArgs = state.environment.argSummary();
  shared.budget.take(summaryOfArgs.length, instruction.span);
  record(state, `RUN ${summaryOfArgs}${argv.join(" ")} # buildkit`, made);
}

function execOp(
  state: StageState,
  instruction: RunInstruction,
  shared: Shared,
  what: { readonly argv: readonly string[]; readonly mounts: readonly ExecMount[] },
): ExecOp {
  const { options } = shared;
  return {
    kind: "exec",
    argv: what.argv,
    env: state.environment.groups(),
    cwd: absolutePath(state, ""),
    user: state.image.config.User ?? "",
    hostname: options.hostname ?? (options.buildArgs.get("BUILDKIT_SANDBOX_HOSTNAME") || undefined),
    network: instruction.network === "default" ? options.network : instruction.network,
    security: instruction.security,
    scratchRoot: state.tree === undefined,
    mounts: what.mounts.length < 2 ? what.mounts : what.mounts.toSorted(parentsFirst),
    shmSizeBytes: options.shmSizeBytes,
    ulimits: options.ulimits,
    extraHosts: options.extraHosts,
    cgroupParent: options.cgroupParent,
    platform: state.platform,
  };
}

/** A file that is mounted and run: a here-document that starts with `#!`. */
interface Script {
  readonly name: string;
  readonly text: string;
  readonly heredoc: Heredoc;
}

interface ReadCommand {
  readonly argv: readonly string[];
  readonly script: Script | undefined;
  /** Suffix of the instruction where its text is shown: ` (first line...)`. */
  readonly summary: string;
}

function readCommand(state: StageState, { command, heredocs, span }: RunInstruction): ReadCommand {
  if (command.form === "exec") {
    if (command.argv.length === 0) throw emptyCommand(span);
    return { argv: command.argv, script: undefined, summary: "" };
  }
  const [first] = heredocs;
  if (first === undefined) return { argv: inShell(state, command.text), script: undefined, summary: "" };
  if (!isHeredocWord(command.text.trim())) {
    // Several here-documents, or one as a command's input: the shell itself must read them.
    const text = [command.text, ...heredocs.map(({ body, name }) => body + name)].join("\n");
    return { argv: inShell(state, text), script: undefined, summary: "" };
  }
  const text = heredocText(first);
  const summary = ` (${summarize(first.body)})`;
  if (!text.startsWith("#!")) return { argv: inShell(state, text), script: undefined, summary };
  const script = { name: first.name, text, heredoc: first };
  return { argv: inShell(state, `${SCRIPTS}/${first.name}`), script, summary };
}

function emptyCommand(span: Span): BuildError {
  return instructionError("RUN has no command: its list is empty", span, 'write RUN ["<program>", "<argument>"]');
}

const SCRIPTS = "/dev/pipes";

function mountScript(script: Script, shared: Shared, trees: MountedTrees): ExecMount {
  const { name, text } = script;
  const tree = addInternal(
    shared,
    {
      op: {
        kind: "file",
        base: "scratch",
        actions: [
          { kind: "mkfile", path: `/${name}`, mode: 0o755, text, owner: undefined, timestamp: textTime(shared) },
        ],
      },
      inputs: [],
    },
    "preparing inline document",
    script.heredoc.span,
  );
  trees.push(tree);
  return { type: "bind", target: SCRIPTS, input: trees.length - 1, source: "/", mode: "ro" };
}

function summarize(body: string): string {
  const lines = body.trim().split(/\r?\n/);
  return (lines[0] ?? "") + (lines.length > 1 ? "..." : "");
}

/** Hides the variables of secrets: their values are unknown here, and an earlier value would be wrong. */
function hideSecrets(variables: Variables, mounts: readonly ExecMount[]): Variables {
  if (!mounts.some((mount) => mount.type === "secret" && mount.env !== undefined)) return variables;
  const hidden = new Set(mounts.map((mount) => (mount.type === "secret" ? mount.env : undefined)));
  return { get: (name) => (hidden.has(name) ? "****" : variables.get(name)) };
}

/**
 * Orders mounts by target, parents first: a parent mounted later would hide its child. Equal targets keep their order;
 * the last wins.
 */
function parentsFirst(a: ExecMount, b: ExecMount): number {
  const [left, right] = [a.target ?? "", b.target ?? ""];
  return left < right ? -1 : Number(left > right);
}
