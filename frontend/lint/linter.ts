import { BuildError } from "../../lib/core/errors.ts";
import type { Span } from "../../lib/core/span.ts";
import { type CheckConfig, mergeChecks, parseCheckConfig } from "./check-config.ts";
import type { Rule } from "./rule.ts";
import type { Warning } from "./warning.ts";

/** The place of a violation: an instruction, or a part of one. */
export interface Place {
  readonly span: Span;
  /** The instruction's own `# check=` comment. */
  readonly check?: string | undefined;
}

/** The findings of one pass over a file, without those that the file or the user turned off. */
export class Linter {
  readonly #config: CheckConfig;
  readonly #merged = new Map<string, CheckConfig>();
  readonly #warnings = new Map<string, Warning>();

  constructor(config: CheckConfig) {
    this.#config = config;
  }

  report<Values extends readonly unknown[]>(rule: Rule<Values>, place: Place, ...values: Values): void {
    const config = this.#configOf(place);
    const { name } = rule;
    if (config.skip === "all" || config.skip.has(name)) return;
    const isWanted = config.experimental === "all" || config.experimental.has(name);
    if (rule.experimental && !isWanted) return;
    const message = rule.message(...values);
    const { span } = place;
    // An instruction may be checked twice: for a word that is expanded for two reasons, or in a stage that two targets
    // share.
    const key = `${rule.name} ${span.start.offset} ${message}`;
    if (this.#warnings.has(key)) return;
    this.#warnings.set(key, { rule: rule.name, message, description: rule.description, url: rule.url, span });
  }

  /** Counts the findings so far. */
  get count(): number {
    return this.#warnings.size;
  }

  /** Findings sorted by place; findings at one place are in order of discovery. */
  get warnings(): readonly Warning[] {
    return [...this.#warnings.values()].toSorted((a, b) => a.span.start.offset - b.span.start.offset);
  }

  /**
   * Throws the {@link violation}, if there is one.
   * @throws {BuildError} {@link violation}
   */
  failIfAsked(): void {
    const { violation } = this;
    if (violation !== undefined) throw violation;
  }

  /** The error `dockerfile/checks-failed`, when there are findings and the file or the user asked for `error=true`. */
  get violation(): BuildError | undefined {
    if (!this.#config.failOnWarning || this.#warnings.size === 0) return undefined;
    const rules = [...new Set(this.warnings.map((warning) => warning.rule))].toSorted();
    return new BuildError("dockerfile/checks-failed", `Lint violation found for rules: ${rules.join(", ")}`, {
      span: this.warnings[0]?.span,
      detail: this.warnings.map((warning) => formatWarning(warning)).join("\n"),
      hint: 'remove "error=true" from the check options to build in spite of it',
    });
  }

  #configOf(place: Place): CheckConfig {
    if (place.check === undefined) return this.#config;
    const known = this.#merged.get(place.check);
    if (known !== undefined) return known;
    const merged = mergeChecks(this.#config, parseCheckConfig(place.check, place.span));
    this.#merged.set(place.check, merged);
    return merged;
  }
}

/** Writes `Rule: message (line N)`. */
export function formatWarning(warning: Warning): string {
  return `${warning.rule}: ${warning.message} (line ${warning.span.start.line})`;
}
