import { BuildError, messageOf } from "../../lib/core/errors.ts";

/** Statuses of codes; those of a whole room stand under its name. All others are 500. */
const STATUS: Readonly<Record<string, number>> = {
  "image/not-found": 404,
  "registry/not-found": 404,
  "image/in-use": 409,
  "registry/unauthorized": 401,
  "registry/denied": 403,
  "serve/unsupported": 501,
  "serve/request": 400,
  "build/cancelled": 499,
  "store/full": 507,
  ...Object.fromEntries(
    ["archive", "cli", "context", "digest", "dockerfile", "pattern", "platform", "reference"].map((room) => [
      room,
      400,
    ]),
  ),
};

/** Returns the HTTP status for an error. */
export function statusOf(error: unknown): number {
  if (!(error instanceof BuildError)) return 500;
  const { code } = error;
  return STATUS[code] ?? STATUS[code.slice(0, code.indexOf("/"))] ?? 500;
}

/** Makes the text of an error for an answer: clients show one, so the hint is in it. */
export function answerText(error: unknown): string {
  if (!(error instanceof BuildError)) return messageOf(error);
  const { message, hint, code } = error;
  // The words by which docker's clients know a missing image.
  const text = code === "image/not-found" && !/no such image/i.test(message) ? `No such image: ${message}` : message;
  return hint === undefined || hint === "" ? text : `${text} (${hint})`;
}
