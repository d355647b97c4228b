import { expect, test } from "vitest";
import type { ExecOp } from "./op.ts";
import { vertex } from "./vertex.ts";

const plain: ExecOp = {
  kind: "exec",
  argv: ["true"],
  env: [["A=1"]],
  cwd: "/",
  user: "",
  hostname: undefined,
  network: "default",
  security: "sandbox",
  scratchRoot: false,
  mounts: [],
  shmSizeBytes: undefined,
  ulimits: [],
  extraHosts: [],
  cgroupParent: undefined,
  platform: { os: "linux", architecture: "amd64" },
};

/** One other value for every member: a member that is added to the op has to be added here. */
const others: { readonly [Member in Exclude<keyof ExecOp, "kind">]: ExecOp[Member] } = {
  argv: ["true", ""],
  env: [["A=1"], ["B=1"]],
  cwd: "/app",
  user: "1",
  hostname: "host",
  network: "none",
  security: "insecure",
  scratchRoot: true,
  mounts: [{ type: "bind", target: "/m", input: 0, source: "/", mode: "ro" }],
  shmSizeBytes: 1,
  ulimits: [{ name: "nofile", soft: 1, hard: 1 }],
  extraHosts: ["other"],
  cgroupParent: "/parent",
  platform: { os: "linux", architecture: "arm64" },
};

test("the same command has the same digest, and every member of it counts", () => {
  const digests = [
    plain,
    ...Object.entries(others).map(([member, value]): ExecOp => ({ ...plain, [member]: value })),
  ].map((op) => vertex(op, []).digest);
  expect(vertex({ ...plain }, []).digest).toBe(digests[0]);
  expect(new Set(digests).size).toBe(1 + Object.keys(others).length);
});

test("texts of neighbouring members are not mixed up", () => {
  const asCwd = vertex({ ...plain, cwd: "/a", user: "b" }, []).digest;
  expect(vertex({ ...plain, cwd: "/", user: "ab" }, []).digest).not.toBe(asCwd);
  expect(vertex({ ...plain, hostname: "none" }, []).digest).not.toBe(vertex({ ...plain, network: "none" }, []).digest);
});
