import { unreachable } from "../../lib/core/errors.ts";
import type { GitOp, HttpOp } from "../../solver/graph/op.ts";
import type { ContextSource, Resolver } from "./resolver.ts";
import type { Shared } from "./stage-state.ts";

/**
 * Makes a source's files depend on nothing but their content, for `--reproducible`: files of a context get one time and
 * modes that no umask decides, a checkout the time of its commit, a file from a URL the date of the build.
 */
export function uniformSource(source: ContextSource, epoch: number | undefined): ContextSource {
  if (epoch === undefined) return source;
  switch (source.kind) {
    case "local":
      return { ...source, uniformTime: epoch };
    case "git":
    case "http":
      return uniformRemote(source, epoch);
    case "image":
    case "scratch":
      return source;
    default:
      return unreachable(source);
  }
}

/** Does the same for a source of ADD. */
export function uniformRemote<Remote extends GitOp | HttpOp>(op: Remote, epoch: number | undefined): Remote {
  if (epoch === undefined) return op;
  return op.kind === "git" ? { ...op, mtime: "commit" } : { ...op, modified: epoch };
}

/** Makes a resolver with such contexts. */
export function uniformResolver(resolver: Resolver, epoch: number | undefined): Resolver {
  if (epoch === undefined) return resolver;
  return {
    image: (ref, lookup, signal) => resolver.image(ref, lookup, signal),
    namedContext: async (name, lookup, signal) => {
      const source = await resolver.namedContext(name, lookup, signal);
      return source === undefined ? undefined : uniformSource(source, epoch);
    },
    sourceDate: (source, signal) => resolver.sourceDate(source, signal),
  };
}

/** Returns the time of a file that the Dockerfile holds; `undefined` for the time at which it is made. */
export function textTime({ options, epoch }: Pick<Shared, "options" | "epoch">): number | undefined {
  return options.reproducible === undefined ? undefined : epoch;
}
