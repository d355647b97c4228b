import type { ExecOp } from "../../graph/op.ts";

/** PATH for images that set none. */
export const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * Makes the environment of a command: PATH where the stage sets none, the stage's variables in their order, the agent's
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
  // Set even without a forwarded agent, as in BuildKit: a client then reports that it cannot connect.
  if (agent !== undefined && !has("SSH_AUTH_SOCK")) env.push(`SSH_AUTH_SOCK=${agent.target}`);
  // A variable of the stage overrides the proxy setting of the same name.
  env.push(...proxyEnv.filter((variable) => !has(variable.slice(0, variable.indexOf("=")))));
  env.push(...secretEnv);
  return env;
}
