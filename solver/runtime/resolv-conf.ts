/** The host's name resolution: the text of its resolver files, read by the caller. */
export interface HostResolver {
  /** Text of /etc/resolv.conf; `undefined` when there is none. */
  readonly resolvConf: string | undefined;
  /** Text of /run/systemd/resolve/resolv.conf: the real servers behind systemd's stub at 127.0.0.53. */
  readonly systemdResolvConf: string | undefined;
}

/** The last resort, as in the container engines. */
const PUBLIC_SERVERS = ["8.8.8.8", "8.8.4.4", "2001:4860:4860::8888", "2001:4860:4860::8844"] as const;

/**
 * The resolv.conf of a container. In the host's network the host's own file is right, loopback servers included; in a
 * network of its own a loopback server would be the container itself, so it is left out and public servers stand in.
 */
export function resolvConf(host: HostResolver, network: "host" | "own"): string {
  const text = host.resolvConf ?? "";
  if (network === "host") return text;
  const stub = nameservers(text);
  const source =
    stub.length === 1 && stub[0] === "127.0.0.53" && host.systemdResolvConf !== undefined
      ? host.systemdResolvConf
      : text;
  const kept = source.split("\n").filter((line) => !isLoopbackServer(line));
  while (kept.at(-1) === "") kept.pop();
  const servers =
    nameservers(kept.join("\n")).length > 0 ? [] : PUBLIC_SERVERS.map((address) => `nameserver ${address}`);
  return [...kept, ...servers].map((line) => `${line}\n`).join("");
}

function nameservers(text: string): string[] {
  return text.split("\n").flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? []);
}

function isLoopbackServer(line: string): boolean {
  const address = nameservers(line)[0];
  return address !== undefined && /^(?:127\.|::1(?:%|$))/.test(address);
}
