import { expect, test } from "vitest";
import { SourceText } from "../../lib/core/span.ts";
import { parsePorts } from "./ports.ts";

const span = new SourceText("Dockerfile", "EXPOSE").span(0, 6);

test.each([
  ["80", ["80/tcp"]],
  ["80/udp", ["80/udp"]],
  ["443/TCP", ["443/tcp"]],
  ["9/sctp", ["9/sctp"]],
  ["80/", ["80/tcp"]],
  ["8000-8002/udp", ["8000/udp", "8001/udp", "8002/udp"]],
  ["8080:80", ["80/tcp"]],
  ["127.0.0.1:8080:80", ["80/tcp"]],
  ["127.0.0.1::80", ["80/tcp"]],
  ["[::1]:8080:80/udp", ["80/udp"]],
  ["::1:8080:80", ["80/tcp"]],
  ["9000-9005:80", ["80/tcp"]],
  ["9000-9001:80-81", ["80/tcp", "81/tcp"]],
  ["0", ["0/tcp"]],
  ["+80", ["80/tcp"]],
  ["65535", ["65535/tcp"]],
])("EXPOSE %s gives %j", (text, ports) => {
  expect(parsePorts(text, span)).toEqual(ports);
});

test.each([
  ["", /no port specified/],
  ["/tcp", /no port specified/],
  ["80:", /no port specified/],
  ["80/icmp", /invalid proto: icmp/],
  ["http", /invalid containerPort: http/],
  ["65536", /invalid containerPort: 65536/],
  ["90-80", /invalid containerPort: 90-80/],
  ["1-2-3", /invalid containerPort/],
  ["-1", /invalid containerPort/],
  ["x:80", /invalid hostPort: x/],
  ["nowhere:1:80", /invalid IP address: nowhere/],
  ["9000-9005:80-81", /invalid ranges specified for container and host Ports: 80-81 and 9000-9005/],
])("EXPOSE %j fails", (text, message) => {
  expect(() => parsePorts(text, span)).toThrow(message);
});
