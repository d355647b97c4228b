import { unreachable } from "../../lib/core/errors.ts";
import type { Body } from "../syntax/ast.ts";
import { buildCopying } from "./build-copying.ts";
import { buildFrom } from "./build-from.ts";
import { buildHealthcheck } from "./build-healthcheck.ts";
import {
  buildDeclarations,
  buildExpose,
  buildOnbuild,
  buildPairs,
  buildProcess,
  buildShell,
  buildStatement,
  buildVolume,
} from "./build-metadata.ts";
import { buildRun } from "./build-run.ts";
import type { InstructionContext } from "./context.ts";
import type { Instruction } from "./instruction.ts";

/**
 * Builds the typed model of an instruction that the grammar has accepted.
 * @throws {BuildError} `dockerfile/...` for unknown flags and bad values
 */
export function buildInstruction(context: InstructionContext): Instruction {
  const { body, name } = context.node;
  switch (name) {
    case "FROM":
      return buildFrom(context, shaped(body, "from"));
    case "RUN":
      return buildRun(context, shaped(body, "command").command);
    case "CMD":
      return { ...buildProcess(context, shaped(body, "command").command), kind: "cmd" };
    case "ENTRYPOINT":
      return { ...buildProcess(context, shaped(body, "command").command), kind: "entrypoint" };
    case "ADD":
    case "COPY":
      return buildCopying(context, name, shaped(body, "list").words);
    case "EXPOSE":
      return buildExpose(context, shaped(body, "list").words);
    case "SHELL":
      return buildShell(context, shaped(body, "list").words);
    case "VOLUME":
      return buildVolume(context, shaped(body, "list").words);
    case "ENV":
      return { ...buildPairs(context, shaped(body, "pairs")), kind: "env" };
    case "LABEL":
      return { ...buildPairs(context, shaped(body, "pairs")), kind: "label" };
    case "ARG":
      return buildDeclarations(context, shaped(body, "declarations").declarations);
    case "WORKDIR":
    case "USER":
    case "STOPSIGNAL":
    case "MAINTAINER":
      return buildStatement(context, name, shaped(body, "text").text);
    case "HEALTHCHECK":
      return buildHealthcheck(context, shaped(body, "healthcheck").command);
    case "ONBUILD":
      return buildOnbuild(context, shaped(body, "onbuild").keyword);
    default:
      return unreachable(name);
  }
}

/** The arguments in the shape that the grammar gives this instruction. */
function shaped<Shape extends Body["shape"]>(body: Body, shape: Shape): Extract<Body, { readonly shape: Shape }> {
  if (!hasShape(body, shape)) throw new Error(`The grammar made ${body.shape} of what is ${shape}`);
  return body;
}

function hasShape<Shape extends Body["shape"]>(
  body: Body,
  shape: Shape,
): body is Extract<Body, { readonly shape: Shape }> {
  return body.shape === shape;
}
