import { expect, test } from "vitest";
import { hostsFile } from "./hosts.ts";
import { resolvConf } from "./resolv-conf.ts";

const PUBLIC =
  "nameserver 8.8.8.8\nnameserver 8.8.4.4\nnameserver 2001:4860:4860::8888\nnameserver 2001:4860:4860::8844\n";

test.each([
  {
    name: "the host's file in the host's network",
    network: "host",
    text: "nameserver 127.0.0.1\n",
    expected: "nameserver 127.0.0.1\n",
  },
  {
    name: "a real server",
    network: "own",
    text: "search a\nnameserver 10.0.0.1\n",
    expected: "search a\nnameserver 10.0.0.1\n",
  },
  {
    name: "loopback servers left out",
    network: "own",
    text: "nameserver 127.0.0.1\nnameserver ::1\nnameserver 10.0.0.1\n",
    expected: "nameserver 10.0.0.1\n",
  },
  {
    name: "public servers when none is left",
    network: "own",
    text: "search a\nnameserver 127.0.0.1\n",
    expected: `search a\n${PUBLIC}`,
  },
  {
    name: "the servers behind systemd's stub",
    network: "own",
    text: "nameserver 127.0.0.53\n",
    expected: "nameserver 10.1.1.1\n",
  },
  { name: "public servers when the host has no file", network: "own", text: undefined, expected: PUBLIC },
] as const)("resolv.conf is $name", ({ network, text, expected }) => {
  expect(resolvConf({ resolvConf: text, systemdResolvConf: "nameserver 10.1.1.1\n" }, network)).toBe(expected);
});

test("hosts lists the container, loopback, then the extra hosts", () => {
  expect(hostsFile("buildkitsandbox", [{ name: "db", address: "10.0.0.9" }])).toBe(
    "127.0.0.1\tlocalhost buildkitsandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.0.9\tdb\n",
  );
});
