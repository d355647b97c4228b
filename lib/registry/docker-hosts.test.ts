import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { dockerHosts } from "./docker-hosts.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kiln-docker-hosts-"));
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

function put(path: string, content: unknown): void {
  mkdirSync(dirname(join(directory, path)), { recursive: true });
  writeFileSync(join(directory, path), typeof content === "string" ? content : JSON.stringify(content));
}

const hosts = (insecure: readonly string[] = []) =>
  dockerHosts([join(directory, "system"), join(directory, "user")], new Set(insecure));

describe("what docker's engine was told of registries", () => {
  test("is nothing without its files", () => {
    expect(hosts().get("docker.io")).toBeUndefined();
  });

  test("mirrors of both files are asked in order, over HTTP where their URL says so, and are for Docker Hub", () => {
    put("system/daemon.json", { "registry-mirrors": ["https://one.test/"], debug: true });
    put("user/daemon.json", { "registry-mirrors": ["http://two.test:5000/hub/"] });
    const found = hosts();
    expect(found.get("docker.io")).toEqual({ mirrors: ["one.test", "two.test:5000/hub"] });
    expect(found.get("two.test:5000/hub")).toEqual({ plainHttp: true });
    expect(found.get("ghcr.io")).toBeUndefined();
  });

  test.each([
    { name: "lan:5000", listed: ["lan:5000"], insecure: true },
    { name: "lan:5001", listed: ["lan:5000"], insecure: undefined },
    { name: "10.1.2.3:5000", listed: ["10.0.0.0/8"], insecure: true },
    { name: "11.1.2.3:5000", listed: ["10.0.0.0/8"], insecure: undefined },
    { name: "[fd00::5]:5000", listed: ["fd00::/8"], insecure: true },
    { name: "10.1.2.3", listed: ["10.0.0.0/99"], insecure: undefined },
  ])("$name is insecure with $listed: $insecure", ({ name, listed, insecure }) => {
    put("system/daemon.json", { "insecure-registries": listed });
    expect(hosts().get(name)?.insecure).toBe(insecure);
  });

  test("the command line adds insecure ones", () => {
    expect(hosts(["lan:5000"]).get("lan:5000")).toEqual({ insecure: true });
  });

  test("certificates of authorities and of the client are per registry", () => {
    put("system/certs.d/lan:5000/ca.crt", "CA");
    put("system/certs.d/lan:5000/me.cert", "CERT");
    put("system/certs.d/lan:5000/me.key", "KEY");
    expect(hosts().get("lan:5000")).toEqual({ ca: ["CA"], client: { cert: "CERT", key: "KEY" } });
  });

  test.each([
    { path: "system/daemon.json", content: "{", says: "it is not a JSON object" },
    { path: "system/daemon.json", content: { "registry-mirrors": "https://one.test" }, says: "is not a list of texts" },
    { path: "user/daemon.json", content: { "registry-mirrors": ["one.test"] }, says: "is no URL like" },
    { path: "user/daemon.json", content: { "insecure-registries": [5] }, says: "is not a list of texts" },
    { path: "user/certs.d/lan/me.cert", content: "CERT", says: "its key is missing" },
  ])("$path with $content: $says", ({ path, content, says }) => {
    put(path, content);
    expect(() => hosts()).toThrow(says);
    expect(() => hosts()).toThrow(join(directory, path));
  });
});
