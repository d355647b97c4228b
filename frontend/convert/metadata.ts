import type { Healthcheck } from "../../lib/core/oci.ts";
import type {
  ArgInstruction,
  CmdInstruction,
  Command,
  EntrypointInstruction,
  EnvInstruction,
  ExposeInstruction,
  HealthcheckInstruction,
  LabelInstruction,
  ShellInstruction,
  StopsignalInstruction,
  UserInstruction,
  VolumeInstruction,
} from "../instructions/instruction.ts";
import { exposeInvalidFormat } from "../lint/rules/expose-invalid-format.ts";
import { exposeProtoCasing } from "../lint/rules/expose-proto-casing.ts";
import { jsonArgsRecommended } from "../lint/rules/json-args-recommended.ts";
import { legacyKeyValueFormat } from "../lint/rules/legacy-key-value-format.ts";
import { multipleInstructionsDisallowed } from "../lint/rules/multiple-instructions-disallowed.ts";
import { secretsUsedInArgOrEnv } from "../lint/rules/secrets-used-in-arg-or-env.ts";
import { expandToWords } from "../words/expand.ts";
import { goDuration, goList, goQuoteList } from "../words/go-format.ts";
import { parsePorts } from "./ports.ts";
import { isSignal } from "./signals.ts";
import { type Shared, type StageState, expandIn, instructionError, record } from "./stage-state.ts";

/*
 * Instructions that change the image's configuration and the environment of later instructions, but no files.
 */

export function convertEnv(state: StageState, instruction: EnvInstruction, shared: Shared): void {
  const pairs = expandPairs(state, instruction, shared);
  for (const [name, value] of pairs) {
    if (namesSecret(name)) shared.linter.report(secretsUsedInArgOrEnv, instruction, "ENV", name);
    state.environment.setEnv(name, value);
    state.image.env.set(name, `${name}=${value}`);
  }
  record(state, `ENV ${pairs.map(([name, value]) => `${name}=${value}`).join(" ")}`);
}

export function convertLabel(state: StageState, instruction: LabelInstruction, shared: Shared): void {
  const pairs = expandPairs(state, instruction, shared);
  for (const [name, value] of pairs) state.image.labels.set(name, value);
  record(state, `LABEL ${pairs.map(([name, value]) => `${name}=${value}`).join(" ")}`);
}

/** Expands all pairs with the environment before the instruction. */
function expandPairs(
  state: StageState,
  instruction: EnvInstruction | LabelInstruction,
  shared: Shared,
): (readonly [string, string])[] {
  if (instruction.form === "legacy") {
    shared.linter.report(legacyKeyValueFormat, instruction, instruction.keyword.text.toUpperCase());
  }
  return instruction.pairs.map(({ key, value }) => [
    expandIn(state, key, instruction, shared),
    expandIn(state, value, instruction, shared),
  ]);
}

/** Build args that configure the frontend and never reach a command. */
const NOT_FOR_COMMANDS = new Set(["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"]);

export function convertArg(state: StageState, instruction: ArgInstruction, shared: Shared): void {
  const texts: string[] = [];
  for (const declaration of instruction.declarations) {
    const { name, description } = declaration;
    if (namesSecret(name)) shared.linter.report(secretsUsedInArgOrEnv, instruction, "ARG", name);
    let value = shared.options.buildArgs.get(name);
    let isInherited = false;
    if (value === undefined && declaration.value !== undefined) {
      value = expandIn(state, declaration.value, instruction, shared);
    } else if (value === undefined) {
      value = shared.scope.values.get(name);
      isInherited = value !== undefined;
    }
    state.environment.declareArg(name, value, NOT_FOR_COMMANDS.has(name) ? "text" : "commands");
    // An inherited ARG was described where it was declared.
    if (!isInherited)
      state.outline.args.set(name, { name, description, value, span: instruction.span, needs: NO_NAMES });
    state.outline.usedArgs.add(name);
    texts.push(value === undefined ? name : `${name}=${value}`);
  }
  record(state, `ARG ${texts.join(" ")}`);
}

const NO_NAMES: ReadonlySet<string> = new Set();

const SECRET_WORD = /(?:^|_)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)/i;
const HARMLESS_WORD = /(?:^|_)(?:public|file|version)(?:_|$)/i;

/** Tells whether values of a name are better hidden: `NPM_TOKEN`, but not `TOKEN_FILE`. */
export function namesSecret(name: string): boolean {
  return SECRET_WORD.test(name) && !HARMLESS_WORD.test(name);
}

export function convertCmd(state: StageState, instruction: CmdInstruction, shared: Shared): void {
  const argv = startCommand(state, instruction, shared);
  const { Cmd: _old, ...config } = state.image.config;
  // Docker reads this on Windows only, but BuildKit sets it everywhere, so images would differ without it.
  state.image.config = { ...config, ...(argv.length === 0 ? {} : { Cmd: argv }), ArgsEscaped: true };
  record(state, `CMD ${goQuoteList(argv)}`);
}

export function convertEntrypoint(state: StageState, instruction: EntrypointInstruction, shared: Shared): void {
  const argv = startCommand(state, instruction, shared);
  const { Entrypoint: _old, ...config } = state.image.config;
  state.image.config = { ...config, ...(argv.length === 0 ? {} : { Entrypoint: argv }) };
  // A CMD of the base image was meant for the base image's ENTRYPOINT.
  if (!state.image.seen.has("cmd")) {
    const { Cmd: _inherited, ...rest } = state.image.config;
    state.image.config = rest;
  }
  record(state, `ENTRYPOINT ${goQuoteList(argv)}`);
}

function startCommand(
  state: StageState,
  instruction: CmdInstruction | EntrypointInstruction,
  shared: Shared,
): readonly string[] {
  checkOnlyOne(state, instruction, shared);
  const { command } = instruction;
  if (command.form === "exec") return command.argv;
  if (state.image.config.Shell === undefined || state.image.config.Shell.length === 0) {
    shared.linter.report(jsonArgsRecommended, instruction, instruction.keyword.text.toUpperCase());
  }
  return inShell(state, command.text);
}

/** Wraps a command in shell form in the stage's SHELL. */
export function inShell(state: StageState, text: string): readonly string[] {
  const shell = state.image.config.Shell;
  const usual = state.platform.os === "windows" ? ["cmd", "/S", "/C"] : ["/bin/sh", "-c"];
  return [...(shell === undefined || shell.length === 0 ? usual : shell), text];
}

function checkOnlyOne(
  state: StageState,
  instruction: CmdInstruction | EntrypointInstruction | HealthcheckInstruction,
  shared: Shared,
): void {
  // The earlier instruction is the one without effect, so the warning points there.
  const earlier = state.image.seen.get(instruction.kind);
  if (earlier !== undefined) {
    shared.linter.report(multipleInstructionsDisallowed, earlier, instruction.keyword.text.toUpperCase());
  }
  state.image.seen.set(instruction.kind, instruction);
}

export function convertHealthcheck(state: StageState, instruction: HealthcheckInstruction, shared: Shared): void {
  checkOnlyOne(state, instruction, shared);
  const { intervalNs, timeoutNs, startPeriodNs, startIntervalNs, retries } = instruction;
  const test = instruction.test.kind === "none" ? ["NONE"] : healthTest(instruction.test.command);
  const check: Healthcheck = {
    Test: test,
    ...(intervalNs === 0 ? {} : { Interval: intervalNs }),
    ...(timeoutNs === 0 ? {} : { Timeout: timeoutNs }),
    ...(startPeriodNs === 0 ? {} : { StartPeriod: startPeriodNs }),
    ...(startIntervalNs === 0 ? {} : { StartInterval: startIntervalNs }),
    ...(retries === 0 ? {} : { Retries: retries }),
  };
  state.image.config = { ...state.image.config, Healthcheck: check };
  const times = [
    `Interval:${goDuration(intervalNs)}`,
    `Timeout:${goDuration(timeoutNs)}`,
    `StartPeriod:${goDuration(startPeriodNs)}`,
    `StartInterval:${goDuration(startIntervalNs)}`,
  ];
  record(state, `HEALTHCHECK {Test:${goList(test)} ${times.join(" ")} Retries:${retries}}`);
}

function healthTest(command: Command): readonly string[] {
  return command.form === "shell" ? ["CMD-SHELL", command.text] : ["CMD", ...command.argv];
}

export function convertExpose(state: StageState, instruction: ExposeInstruction, shared: Shared): void {
  const ports: string[] = [];
  for (const word of instruction.ports) {
    // BuildKit does not warn about undefined variables in EXPOSE, so this is the one instruction without that warning.
    const expansion = expandToWords(word.text, state.environment, { escape: shared.escape, span: word.span });
    for (const text of expansion.words) {
      shared.budget.take(text.length, word.span);
      const protocol = text.includes("/") ? text.slice(text.indexOf("/") + 1) : "";
      if (text.includes(":")) shared.linter.report(exposeInvalidFormat, instruction, text);
      if (protocol !== protocol.toLowerCase()) shared.linter.report(exposeProtoCasing, instruction, text);
      ports.push(...parsePorts(text, word.span));
    }
  }
  for (const port of ports) state.image.ports.add(port);
  record(state, `EXPOSE ${goList(ports)}`);
}

export function convertVolume(state: StageState, instruction: VolumeInstruction, shared: Shared): void {
  const paths = instruction.paths.map((word) => {
    const path = expandIn(state, word, instruction, shared);
    if (path !== "") return path;
    throw instructionError("VOLUME specified can not be an empty string", word.span, "write the path of a directory");
  });
  for (const path of paths) state.image.volumes.add(path);
  record(state, `VOLUME ${goList(paths)}`);
}

export function convertUser(state: StageState, instruction: UserInstruction, shared: Shared): void {
  const user = expandIn(state, instruction.user, instruction, shared);
  const { User: _old, ...config } = state.image.config;
  state.image.config = user === "" ? config : { ...config, User: user };
  record(state, `USER ${user}`);
}

export function convertShell(state: StageState, { argv }: ShellInstruction): void {
  state.image.config = { ...state.image.config, Shell: argv };
  record(state, `SHELL ${goList(argv)}`);
}

export function convertStopsignal(state: StageState, instruction: StopsignalInstruction, shared: Shared): void {
  const signal = expandIn(state, instruction.signal, instruction, shared);
  if (!isSignal(signal)) {
    throw instructionError(
      `STOPSIGNAL does not take ${JSON.stringify(signal)}: invalid signal: ${signal}`,
      instruction.signal.span,
      'write a name such as "SIGTERM" or a number',
    );
  }
  state.image.config = { ...state.image.config, StopSignal: signal };
  record(state, `STOPSIGNAL ${signal}`);
}
