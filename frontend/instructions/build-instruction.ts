import { unreachable } from "../../lib/core/errors.ts";
import { buildCopying } from "./build-copying.ts";
import { buildFrom } from "./build-from.ts";
import { buildHealthcheck } from "./build-healthcheck.ts";
import {
  buildDeclarations,
  buildList,
  buildOnbuild,
  buildPairs,
  buildProcess,
  buildStatement,
} from "./build-metadata.ts";
import { buildRun } from "./build-run.ts";
import type { InstructionContext } from "./context.ts";
import type { Instruction } from "./instruction.ts";

/**
 * Builds the typed model of an instruction that the grammar has accepted.
 * @throws {BuildError} `dockerfile/...` for unknown flags and bad values
 */
export function buildInstruction(context: InstructionContext): Instruction {
  const { body, name: keyword } = context.node;
  switch (body.shape) {
    case "from":
      return buildFrom(context, body);
    case "command":
      return keyword === "RUN" ? buildRun(context, body.command) : buildProcess(context, keyword, body.command);
    case "list":
      return keyword === "COPY" || keyword === "ADD"
        ? buildCopying(context, keyword, body.words)
        : buildList(context, keyword, body.words);
    case "pairs":
      return buildPairs(context, keyword, body);
    case "declarations":
      return buildDeclarations(context, body.declarations);
    case "text":
      return buildStatement(context, keyword, body.text);
    case "healthcheck":
      return buildHealthcheck(context, body.command);
    case "onbuild":
      return buildOnbuild(context, body.keyword);
    default:
      return unreachable(body);
  }
}
