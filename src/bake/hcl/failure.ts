import { BuildError, type ErrorCode } from "../../../lib/core/errors.ts";
import type { Place } from "./ast.ts";

/** Makes an error at a place of a file. */
export function failureAt(code: ErrorCode, message: string, place: Place, hint?: string): BuildError {
  return new BuildError(code, message, { span: place.source.span(place.start, place.end), hint });
}

/** Makes an error for text that is not of the language. */
export function syntaxFailure(message: string, place: Place, hint?: string): BuildError {
  return failureAt("bake/syntax", message, place, hint);
}

/** Makes an error for an expression that has no value. */
export function valueFailure(message: string, place: Place, hint?: string): BuildError {
  return failureAt("bake/expression", message, place, hint);
}
