import type { Span } from "../../lib/core/span.ts";
import type { Comment } from "../syntax/logical-line.ts";
import type { Heredoc } from "../syntax/heredoc.ts";

/**
 * One Dockerfile instruction after parsing and before variable expansion. `kind` says which. Every `Word` that the
 * language expands is kept as written (quotes and escapes in place); the conversion expands it.
 */
export type Instruction =
  | AddInstruction
  | ArgInstruction
  | CmdInstruction
  | CopyInstruction
  | EntrypointInstruction
  | EnvInstruction
  | ExposeInstruction
  | FromInstruction
  | HealthcheckInstruction
  | LabelInstruction
  | MaintainerInstruction
  | OnbuildInstruction
  | RunInstruction
  | ShellInstruction
  | StopsignalInstruction
  | UserInstruction
  | VolumeInstruction
  | WorkdirInstruction;

/** The instructions allowed in a stage below its FROM. */
export type StageInstruction = Exclude<Instruction, FromInstruction>;

/** A piece of an instruction and its place in the file. */
export interface Word {
  readonly text: string;
  readonly span: Span;
}

/** `--name=value` or `--name`. Quotes and backslashes are already removed, by the language's rules for flags. */
export interface Flag {
  /** Name without the dashes. */
  readonly name: string;
  /** `undefined` when there was no `=`. */
  readonly value: string | undefined;
  /** Place of the whole flag. */
  readonly span: Span;
}

/** The fields that all instructions have. */
export interface InstructionText {
  /** Range from the keyword to the end of the last line, continuation lines and heredocs included. */
  readonly span: Span;
  /** Keyword as written: `RUN`, `run`, `Run`. */
  readonly keyword: Word;
  /** Flags in the order written, also for instructions that give them fields of their own. */
  readonly flags: readonly Flag[];
  /** The instruction as one line: continuations joined, comment lines dropped, heredoc bodies not included. */
  readonly original: string;
  /** Comment lines directly above, since the last instruction, directive line or bare `#`. */
  readonly comments: readonly Comment[];
  /** The value of a `# check=...` comment among `comments`: it configures the checks for this instruction. */
  readonly check: string | undefined;
}

/** Returns the body, with leading tabs removed where `<<-` asks for it. */
export function heredocText(heredoc: Pick<Heredoc, "body" | "chomp">): string {
  return heredoc.chomp ? heredoc.body.replace(/^\t+/gm, "") : heredoc.body;
}

/** `exec`: a JSON array, used as it is. `shell`: text for the stage's SHELL; empty when the instruction has none. */
export type Command =
  | { readonly form: "exec"; readonly argv: readonly string[]; readonly span: Span }
  | { readonly form: "shell"; readonly text: string; readonly span: Span };

export interface FromInstruction extends InstructionText {
  readonly kind: "from";
  /** Image reference, stage name or `scratch`; expanded with the global ARGs. */
  readonly base: Word;
  readonly platform: Word | undefined;
  /** Name in lower case. */
  readonly name: string | undefined;
  /** Name as written after AS. */
  readonly nameWord: Word | undefined;
  /** The AS itself. */
  readonly as: Word | undefined;
  /** Description from a comment above that starts with the stage name: `# NAME does this`. */
  readonly description: string | undefined;
}

export interface ArgInstruction extends InstructionText {
  readonly kind: "arg";
  /** One or more. */
  readonly declarations: readonly ArgDeclaration[];
}

export interface ArgDeclaration {
  readonly name: string;
  /** The default as written, which may be empty; `undefined` without `=`. */
  readonly value: Word | undefined;
  /** Place of `name=value`. */
  readonly span: Span;
  /** Description from a comment above that starts with the name: `# NAME is that`. */
  readonly description: string | undefined;
}

export interface KeyValue {
  readonly key: Word;
  readonly value: Word;
  /** Place of key and value together. */
  readonly span: Span;
}

export interface EnvInstruction extends InstructionText {
  readonly kind: "env";
  /** One or more. */
  readonly pairs: readonly KeyValue[];
  /** `legacy` is `ENV name rest of the line`. */
  readonly form: "pairs" | "legacy";
}

export interface LabelInstruction extends InstructionText {
  readonly kind: "label";
  /** One or more. */
  readonly pairs: readonly KeyValue[];
  /** `legacy` is `LABEL name rest of the line`. */
  readonly form: "pairs" | "legacy";
}

/** One `RUN --mount=`, kept as text because its values are still to be expanded. `parseMountFlag` reads it. */
export interface MountFlag {
  readonly text: string;
  /** The value of `from=`. It is never expanded: a RUN's dependencies are known before conversion. */
  readonly from: string | undefined;
  /** Place of the whole flag. */
  readonly span: Span;
}

export interface RunInstruction extends InstructionText {
  readonly kind: "run";
  readonly command: Command;
  /** Here-documents in order. None stand beside a command in exec form. */
  readonly heredocs: readonly Heredoc[];
  readonly mounts: readonly MountFlag[];
  /** Values of --device as written: CDI names, and whether they are required. */
  readonly devices: readonly Word[];
  readonly network: "default" | "none" | "host";
  readonly security: "sandbox" | "insecure";
}

/**
 * The fields that COPY and ADD share. Flag values are as written; `chown` and `chmod` are expanded later, `excludes`
 * never.
 */
export interface CopyFields {
  /** Files, wildcards and URLs, in the order written. */
  readonly paths: readonly Word[];
  /**
   * Here-documents that become files, in the order written. `paths` and `contents` together have at least one source.
   */
  readonly contents: readonly CopyContent[];
  readonly destination: Word;
  readonly chown: Word | undefined;
  readonly chmod: Word | undefined;
  readonly link: boolean;
  readonly excludes: readonly Word[];
}

export interface CopyContent {
  /** File name. */
  readonly name: string;
  /** Text with tabs removed for `<<-`, not expanded. */
  readonly text: string;
  /** True when `text` is to be expanded. Quotes are ordinary characters in it, and the escape is always a backslash. */
  readonly expand: boolean;
  /** Place of the `<<` word. */
  readonly span: Span;
  readonly bodySpan: Span;
}

export interface CopyInstruction extends InstructionText, CopyFields {
  readonly kind: "copy";
  /** Stage name or number, named context, or image. Never expanded. */
  readonly from: Word | undefined;
  readonly parents: boolean;
}

export interface AddInstruction extends InstructionText, CopyFields {
  readonly kind: "add";
  readonly checksum: Word | undefined;
  /** `undefined` when the flag is absent: a URL's query can set it too. */
  readonly keepGitDir: boolean | undefined;
  /** `undefined` when the flag is absent: then local archives are unpacked, remote ones not. */
  readonly unpack: boolean | undefined;
}

export interface CmdInstruction extends InstructionText {
  readonly kind: "cmd";
  readonly command: Command;
}

export interface EntrypointInstruction extends InstructionText {
  readonly kind: "entrypoint";
  readonly command: Command;
}

export interface ShellInstruction extends InstructionText {
  readonly kind: "shell";
  /** One or more. */
  readonly argv: readonly string[];
}

export interface HealthcheckInstruction extends InstructionText {
  readonly kind: "healthcheck";
  readonly test: { readonly kind: "none" } | { readonly kind: "command"; readonly command: Command };
  /** Nanoseconds, as in the image config. 0 means inherited. */
  readonly intervalNs: number;
  readonly timeoutNs: number;
  readonly startPeriodNs: number;
  readonly startIntervalNs: number;
  /** 0 means inherited. */
  readonly retries: number;
}

export interface ExposeInstruction extends InstructionText {
  readonly kind: "expose";
  /** One or more, sorted by code unit before expansion. Each may expand to several words. */
  readonly ports: readonly Word[];
}

export interface VolumeInstruction extends InstructionText {
  readonly kind: "volume";
  /** One or more, trimmed, none empty. */
  readonly paths: readonly Word[];
}

export interface WorkdirInstruction extends InstructionText {
  readonly kind: "workdir";
  readonly path: Word;
}

export interface UserInstruction extends InstructionText {
  readonly kind: "user";
  readonly user: Word;
}

export interface StopsignalInstruction extends InstructionText {
  readonly kind: "stopsignal";
  readonly signal: Word;
}

export interface MaintainerInstruction extends InstructionText {
  readonly kind: "maintainer";
  readonly name: Word;
}

export interface OnbuildInstruction extends InstructionText {
  readonly kind: "onbuild";
  /** The instruction to run later, as the image stores it: one line, then its heredoc bodies and terminators. */
  readonly trigger: string;
  /** Keyword of the trigger, as written. */
  readonly triggerKeyword: Word;
}
