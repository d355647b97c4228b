import { type Rule, ruleUrl } from "../rule.ts";

export const exposeInvalidFormat: Rule<[port: string]> = {
  name: "ExposeInvalidFormat",
  description:
    "EXPOSE names ports of the container only. Addresses and ports of the host belong to the command that starts it.",
  url: ruleUrl("expose-invalid-format"),
  experimental: false,
  message: (port) => `EXPOSE instruction should not define an IP address or host-port mapping, found '${port}'`,
};
