import type { Span } from "../../lib/core/span.ts";
import type { Comment } from "../syntax/logical-line.ts";
import type { Heredoc } from "../syntax/heredoc.ts";

/**
 * One Dockerfile instruction after parsing and before variable expansion. `kind` says which.
 * Every `Word` that the language expands is kept as written (quotes and escapes in place); whoever converts expands it.
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

/** What may stand in a stage below its FROM. */
export type StageInstruction = Exclude<Instruction, FromInstruction>;

/** A piece of an instruction, with the place it was written at. */
export interface Word {
  readonly text: string;
  readonly span: Span;
}

/** `--name=value` or `--name`, quotes and backslashes already taken out of it as the language says for flags. */
export interface Flag {
  /** Without the dashes. */
  readonly name: string;
  /** `undefined` when there was no `=`. */
  readonly value: string | undefined;
  /** The whole flag. */
  readonly span: Span;
}

/** What all instructions have. */
export interface InstructionText {
  /** From the keyword to the end of the last line, continuation lines and heredocs included. */
  readonly span: Span;
  /** As written: `RUN`, `run`, `Run`. */
  readonly keyword: Word;
  /** In the order written, also for instructions that give them fields of their own. */
  readonly flags: readonly Flag[];
  /** The instruction as one line: continuations joined, comment lines dropped, heredoc bodies not included. */
  readonly original: string;
  /** Comment lines above since the last instruction, directive line or bare `#`. */
  readonly comments: readonly Comment[];
  /** The value of a `# check=...` comment among `comments`: it configures the checks for this instruction. */
  readonly check: string | undefined;
}

/** The body with leading tabs removed where `<<-` asks for it. */
export function heredocText(heredoc: Pick<Heredoc, "body" | "chomp">): string {
  return heredoc.chomp ? heredoc.body.replace(/^\t+/gm, "") : heredoc.body;
}

/** `exec`: a JSON array, used as it is. `shell`: text for the stage's SHELL; empty when nothing was written. */
export type Command =
  | { readonly form: "exec"; readonly argv: readonly string[]; readonly span: Span }
  | { readonly form: "shell"; readonly text: string; readonly span: Span };

export interface FromInstruction extends InstructionText {
  readonly kind: "from";
  /** Image reference, stage name or `scratch`; expanded with the global ARGs. */
  readonly base: Word;
  readonly platform: Word | undefined;
  /** Lower-cased. */
  readonly name: string | undefined;
  /** As written after AS. */
  readonly nameWord: Word | undefined;
  /** The AS itself. */
  readonly as: Word | undefined;
  /** From a comment above that starts with the stage name: `# NAME does this`. */
  readonly description: string | undefined;
}

export interface ArgInstruction extends InstructionText {
  readonly kind: "arg";
  /** At least one. */
  readonly declarations: readonly ArgDeclaration[];
}

export interface ArgDeclaration {
  readonly name: string;
  /** The default, if one was written; may be empty. */
  readonly value: Word | undefined;
  /** Of `name=value`. */
  readonly span: Span;
  /** From a comment above that starts with the name: `# NAME is that`. */
  readonly description: string | undefined;
}

export interface KeyValue {
  readonly key: Word;
  readonly value: Word;
  /** Of both. */
  readonly span: Span;
}

export interface EnvInstruction extends InstructionText {
  readonly kind: "env";
  /** At least one. */
  readonly pairs: readonly KeyValue[];
  /** `legacy` is `ENV name rest of the line`. */
  readonly form: "pairs" | "legacy";
}

export interface LabelInstruction extends InstructionText {
  readonly kind: "label";
  /** At least one. */
  readonly pairs: readonly KeyValue[];
  /** `legacy` is `LABEL name rest of the line`. */
  readonly form: "pairs" | "legacy";
}

/** One `RUN --mount=`: kept as text, because its values are expanded. Read with `parseMountFlag`. */
export interface MountFlag {
  readonly text: string;
  /** The value of `from=`, which is never expanded: what the RUN depends on is known before conversion. */
  readonly from: string | undefined;
  /** Of the whole flag. */
  readonly span: Span;
}

export interface RunInstruction extends InstructionText {
  readonly kind: "run";
  readonly command: Command;
  /** In order. Never beside a command in exec form. */
  readonly heredocs: readonly Heredoc[];
  readonly mounts: readonly MountFlag[];
  /** Values of --device as written: CDI names and whether they are required. */
  readonly devices: readonly Word[];
  readonly network: "default" | "none" | "host";
  readonly security: "sandbox" | "insecure";
}

/** What COPY and ADD share. Flags' values are as written; `chown`, `chmod` are expanded, `excludes` are not. */
export interface CopyFields {
  /** Files, wildcards, URLs; in the order written. */
  readonly paths: readonly Word[];
  /** Here-documents that become files; in the order written. With `paths`, at least one source. */
  readonly contents: readonly CopyContent[];
  readonly destination: Word;
  readonly chown: Word | undefined;
  readonly chmod: Word | undefined;
  readonly link: boolean;
  readonly excludes: readonly Word[];
}

export interface CopyContent {
  /** The file's name. */
  readonly name: string;
  /** Tabs removed for `<<-`, not expanded. */
  readonly text: string;
  /** Expand `text`, in which quotes are ordinary characters and the escape is always a backslash. */
  readonly expand: boolean;
  /** Of the `<<` word. */
  readonly span: Span;
  readonly bodySpan: Span;
}

export interface CopyInstruction extends InstructionText, CopyFields {
  readonly kind: "copy";
  /** Stage name or number, named context, image. Never expanded. */
  readonly from: Word | undefined;
  readonly parents: boolean;
}

export interface AddInstruction extends InstructionText, CopyFields {
  readonly kind: "add";
  readonly checksum: Word | undefined;
  /** `undefined` when the flag is absent: a URL's query may say it too. */
  readonly keepGitDir: boolean | undefined;
  /** `undefined` when the flag is absent: unpack local archives, not remote ones. */
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
  /** At least one. */
  readonly argv: readonly string[];
}

export interface HealthcheckInstruction extends InstructionText {
  readonly kind: "healthcheck";
  readonly test: { readonly kind: "none" } | { readonly kind: "command"; readonly command: Command };
  /** Nanoseconds, as in the image config. 0 inherits. */
  readonly intervalNs: number;
  readonly timeoutNs: number;
  readonly startPeriodNs: number;
  readonly startIntervalNs: number;
  /** 0 inherits. */
  readonly retries: number;
}

export interface ExposeInstruction extends InstructionText {
  readonly kind: "expose";
  /** At least one; sorted by code unit, which is done before expansion. Each may expand to several words. */
  readonly ports: readonly Word[];
}

export interface VolumeInstruction extends InstructionText {
  readonly kind: "volume";
  /** At least one; trimmed, none empty. */
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
  /** The instruction to run later, as stored in the image: one line, then its heredoc bodies and terminators. */
  readonly trigger: string;
  /** Its keyword, as written. */
  readonly triggerKeyword: Word;
}
