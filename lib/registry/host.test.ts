import { expect, test } from "vitest";
import { hostOf, isAt, isLoopback } from "./host.ts";

test.each([
  { name: "registry.example", url: "https://registry.example/v2/", is: true },
  { name: "registry.example:443", url: "https://registry.example/v2/", is: true },
  { name: "Registry.Example:5000", url: "https://registry.example:5000/v2/", is: true },
  { name: "registry.example:80", url: "http://registry.example/v2/", is: true },
  { name: "registry.example:443", url: "http://registry.example/v2/", is: false },
  { name: "registry.example", url: "https://registry.example:5000/v2/", is: false },
  { name: "registry.example", url: "https://registry.example.evil/v2/", is: false },
  { name: "docker.io", url: "https://registry-1.docker.io/v2/", is: true },
  { name: "[::1]:5000", url: "http://[::1]:5000/v2/", is: true },
])("$url is at $name: $is", ({ name, url, is }) => {
  expect(isAt(new URL(url), hostOf(name, {}))).toBe(is);
});

test("a mirror's path is no part of its name", () => {
  expect(hostOf("mirror.example:5000/hub/", {})).toMatchObject({
    name: "mirror.example:5000",
    authority: "mirror.example:5000",
    prefix: "/hub",
  });
});

test.each(["localhost", "LocalHost:5000", "127.0.0.1:1", "127.8.8.8", "[::1]:5000"])(
  "%s is this machine",
  (authority) => {
    expect(isLoopback(authority)).toBe(true);
  },
);

test.each(["localhost.example", "example", "128.0.0.1", "127.0.0.1.example"])("%s is another one", (authority) => {
  expect(isLoopback(authority)).toBe(false);
});
