import { BuildError } from "../lib/core/errors.ts";
import { type Graph, metaOf } from "./graph/graph.ts";
import type { ExecOp } from "./graph/op.ts";
import { commandOf } from "./graph/op-facts.ts";
import { inputsFirst } from "./graph/order.ts";
import type { ExecSettings } from "./ports.ts";

type Entitlement = "network.host" | "security.insecure";

/**
 * Refuses a graph with a command that needs an entitlement without permission, even if its result would come from the
 * cache: using such a command's result means trusting it as much as running it.
 * @throws {BuildError} `runtime/entitlement` at the first such command, the others after it
 */
export function requireEntitlements(graph: Graph, granted: ExecSettings["entitlements"]): void {
  const refused = inputsFirst(graph.targets).flatMap((vertex) => {
    const command = commandOf(vertex.op);
    if (command === undefined) return [];
    const { span } = metaOf(graph, vertex);
    return neededBy(command)
      .filter((name) => !granted.has(name))
      .map((name) => ({ name, span }));
  });
  const [first, ...more] = refused.map(
    ({ name, span }) =>
      new BuildError("runtime/entitlement", `Cannot run this step: ${name} is not allowed`, {
        span,
        hint: `allow it with --allow ${name}`,
      }),
  );
  if (first === undefined) return;
  throw first.withMore(more);
}

function neededBy({ network, security }: ExecOp): Entitlement[] {
  return [
    ...(network === "host" ? (["network.host"] as const) : []),
    ...(security === "insecure" ? (["security.insecure"] as const) : []),
  ];
}
