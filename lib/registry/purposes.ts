import { isDigest } from "../core/digest.ts";
import { familiarReference } from "../core/reference.ts";
import type { Purpose } from "./failure.ts";
import type { Repository } from "./registry.ts";

/** Names a repository, or a tag or digest in it, as people write it. */
export function nameOf(repository: Repository, reference?: string): string {
  const isReference = reference !== undefined && isDigest(reference);
  return familiarReference({
    registry: repository.registry,
    repository: repository.repository,
    tag: isReference ? undefined : reference,
    digest: isReference ? reference : undefined,
  });
}

/** Describes a push, for messages. */
export function pushing(repository: Repository, reference?: string): Purpose {
  return { doing: `push ${JSON.stringify(nameOf(repository, reference))}`, registry: repository.registry };
}
