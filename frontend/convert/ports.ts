import { isIP } from "node:net";
import { BuildError } from "../../lib/core/errors.ts";
import type { Span } from "../../lib/core/span.ts";

const HIGHEST_PORT = 65_535;

/**
 * Parses one word of EXPOSE, `[[ip:]host:]port[-end][/protocol]`, into `port/protocol` entries. Address and host port
 * are checked and dropped.
 * @throws {BuildError} `dockerfile/instruction`
 */
export function parsePorts(text: string, span: Span): string[] {
  const bad = (why: string): BuildError =>
    new BuildError("dockerfile/instruction", `EXPOSE does not take ${JSON.stringify(text)}: ${why}`, {
      span,
      hint: 'write a port or a range with an optional protocol, as in "EXPOSE 8080/tcp 9000-9010/udp"',
    });
  const parts = text.split(":");
  const [containerPart = ""] = parts.slice(-1);
  const [hostPart = ""] = parts.slice(-2, -1);
  const address = parts.slice(0, -2).join(":");
  const slash = containerPart.indexOf("/");
  const portText = slash === -1 ? containerPart : containerPart.slice(0, slash);
  const protocol = (slash === -1 ? "" : containerPart.slice(slash + 1)).toLowerCase();
  if (portText === "") throw bad("no port specified");
  if (!["", "tcp", "udp", "sctp"].includes(protocol)) throw bad(`invalid proto: ${protocol}`);
  const bare = address.startsWith("[") && address.endsWith("]") ? address.slice(1, -1) : address;
  if (address !== "" && isIP(bare) === 0) throw bad(`invalid IP address: ${address}`);
  const ports = parseRange(portText);
  if (ports === undefined) throw bad(`invalid containerPort: ${portText}`);
  if (hostPart !== "") {
    const host = parseRange(hostPart);
    if (host === undefined) throw bad(`invalid hostPort: ${hostPart}`);
    const isDifferent = host.end - host.start !== ports.end - ports.start;
    if (isDifferent && ports.end !== ports.start) {
      throw bad(`invalid ranges specified for container and host Ports: ${portText} and ${hostPart}`);
    }
  }
  return Array.from({ length: ports.end - ports.start + 1 }, (_, at) => `${ports.start + at}/${protocol || "tcp"}`);
}

function parseRange(text: string): { readonly start: number; readonly end: number } | undefined {
  // Go accepts a sign too.
  const found = /^(\+?\d+)(?:-(\+?\d+))?$/.exec(text);
  if (found === null) return undefined;
  const start = Number(found[1]);
  const end = Number(found[2] ?? found[1]);
  return start > HIGHEST_PORT || end > HIGHEST_PORT || end < start ? undefined : { start, end };
}
