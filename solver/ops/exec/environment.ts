import type { ExecOp } from "../../graph/op.ts";

/** Where commands are looked for when an image does not say. */
export const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * The environment of a command: PATH where the stage sets none, the stage's variables in their order, the agent's
 * socket, the proxy settings, the secrets. The first two are in the step's key, the others never.
 */
export function execEnvironment(
  op: Pick<ExecOp, "env" | "mounts">,
  proxyEnv: readonly string[],
  secretEnv: readonly string[],
): string[] {
  const env = op.env.flat();
  const own = new Set(env.map((variable) => variable.split("=", 1)[0]));
  const has = (name: string): boolean => own.has(name);
  if (!has("PATH")) env.unshift(`PATH=${DEFAULT_PATH}`);
  const agent = op.mounts.find((mount) => mount.type === "ssh");
  // Also where no agent was forwarded, as in BuildKit: what asks for it then says that it cannot connect.
  if (agent !== undefined && !has("SSH_AUTH_SOCK")) env.push(`SSH_AUTH_SOCK=${agent.target}`);
  // A variable of the stage wins over the proxy setting of the same name.
  env.push(...proxyEnv.filter((variable) => !has(variable.slice(0, variable.indexOf("=")))));
  env.push(...secretEnv);
  return env;
}
