/**
 * The /etc/hosts of a container: its own name, the loopback addresses, then the extra hosts in the order given.
 * `hostname` stands where BuildKit writes "buildkitsandbox".
 */
export function hostsFile(
  hostname: string,
  extraHosts: readonly { readonly name: string; readonly address: string }[],
): string {
  const lines = [
    `127.0.0.1\tlocalhost ${hostname}`,
    "::1\tlocalhost ip6-localhost ip6-loopback",
    ...extraHosts.map(({ name, address }) => `${address}\t${name}`),
  ];
  return lines.map((line) => `${line}\n`).join("");
}
