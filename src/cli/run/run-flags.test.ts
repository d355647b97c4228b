import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readEnvironment } from "./env-file.ts";
import { readMounts } from "./mounts.ts";
import { chosenPorts, exposedPorts, readPorts } from "./ports.ts";

const folder = mkdtempSync(join(tmpdir(), "kiln-run-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const NONE = { volume: [], mount: [], tmpfs: [] };
const place = { directory: folder, isReadOnly: false };

test.each([
  { flags: { volume: [".:/d"] }, wants: [{ kind: "bind", hostPath: folder, target: "/d", mode: "rw" }] },
  {
    flags: { volume: [`${folder}:/d//e/:ro,Z`] },
    wants: [{ kind: "bind", hostPath: folder, target: "/d/e", mode: "ro" }],
  },
  { flags: { volume: ["/d"] }, wants: [] },
  {
    flags: { mount: ["type=bind,src=.,dst=/d,readonly"] },
    wants: [{ kind: "bind", hostPath: folder, target: "/d", mode: "ro" }],
  },
  {
    flags: { mount: ["type=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=0700"] },
    wants: [{ kind: "tmpfs", target: "/t", sizeBytes: 1 << 20, permissions: 0o700, noExec: true }],
  },
  {
    flags: { tmpfs: ["/run:rw,size=1k,mode=755,exec,nosuid"] },
    wants: [{ kind: "tmpfs", target: "/run", sizeBytes: 1024, permissions: 0o755, noExec: false }],
  },
])("mounts of $flags", ({ flags, wants }) => {
  expect(readMounts({ ...NONE, ...flags }, place)).toMatchObject(wants);
});

test("an anonymous volume is a folder that can be written to, also in an image that cannot", () => {
  expect(readMounts({ ...NONE, volume: ["/d"] }, { directory: folder, isReadOnly: true })).toMatchObject([
    { kind: "tmpfs", target: "/d" },
  ]);
});

test.each([
  { flags: { volume: ["./nothere:/d"] }, says: /there is no ".*nothere"/ },
  { flags: { volume: ["name:/d"] }, says: /would be a volume of docker's/ },
  { flags: { volume: [".:d"] }, says: /not an absolute path/ },
  { flags: { volume: [".:/d/.."] }, says: /cannot be the root/ },
  { flags: { volume: [".:/x/../proc/1"] }, says: /nothing is mounted in \/proc/ },
  { flags: { volume: [".:/d:shared"] }, says: /cannot be "shared"/ },
  { flags: { volume: [".:/d:ro:x"] }, says: /more than three parts/ },
  { flags: { volume: [":/d"] }, says: /its source is empty/ },
  { flags: { volume: [".:/d"], tmpfs: ["/d/"] }, says: /mount twice at "\/d"/ },
  { flags: { mount: ["type=bind,dst=/d"] }, says: /needs a source/ },
  { flags: { mount: ["type=bind,src=.,dst=/d,wat=1"] }, says: /unknown key "wat"/ },
  { flags: { mount: ["type=image,src=x,dst=/d"] }, says: /no type "image"/ },
  { flags: { mount: ["src=name,dst=/d"] }, says: /there are no volumes/ },
  { flags: { mount: ["type=tmpfs,dst=/d,tmpfs-mode=9"] }, says: /not an octal number/ },
  { flags: { tmpfs: ["/d:bogus"] }, says: /cannot be "bogus"/ },
])("mounts of $flags are refused", ({ flags, says }) => {
  expect(() => readMounts({ ...NONE, ...flags }, place)).toThrow(says);
});

test.each([
  { text: "8080:80", wants: { protocol: "tcp", address: undefined, hostPort: 8080, port: 80, count: 1 } },
  { text: "80", wants: { hostPort: 0, port: 80 } },
  { text: "127.0.0.1:8080:80/udp", wants: { protocol: "udp", address: "127.0.0.1", hostPort: 8080 } },
  { text: "[::1]:8080:80", wants: { address: "::1", hostPort: 8080, port: 80 } },
  { text: "127.0.0.1::80", wants: { address: "127.0.0.1", hostPort: 0, port: 80 } },
  { text: "8000-8002:80-82", wants: { hostPort: 8000, port: 80, count: 3 } },
  { text: "80-81", wants: { hostPort: 0, port: 80, count: 2 } },
])("-p $text", ({ text, wants }) => {
  expect(readPorts([text])).toMatchObject([wants]);
});

test.each(["", "x", "80:", "1:2:3:4", "70000", "82-80", "80/sctp", "host:80:80", "80-81:80"])(
  "-p %j is refused",
  (text) => {
    expect(() => readPorts([text])).toThrow(/Cannot read --publish/);
  },
);

test("a port that is in use is told, one that is left open is a free one", async () => {
  const [port] = await chosenPorts(readPorts(["127.0.0.1::80"]));
  expect(port?.hostPort).toBeGreaterThan(0);
  const { createServer } = await import("node:net");
  const server = createServer().listen(port?.hostPort, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  await expect(chosenPorts(readPorts([`127.0.0.1:${port?.hostPort}:80`]))).rejects.toThrow(/uses it/);
  server.close();
  expect(exposedPorts({ "80/tcp": {}, "x/y": {}, "53/udp": {} })).toMatchObject([{ port: 80 }, { protocol: "udp" }]);
});

test("variables of files come first, are taken as they are, and a bare name is passed on", () => {
  writeFileSync(join(folder, "env"), '# a comment\r\nA=1 2 # no comment\r\n  B="q"\n\nHOME\nNOT_SET\nC=\n');
  const host = { env: { HOME: "/h", D: "d" }, workingDirectory: folder };
  expect(readEnvironment({ envFile: ["env"], env: ["A=3", "D"] }, host)).toEqual([
    "A=1 2 # no comment",
    'B="q"',
    "HOME=/h",
    "C=",
    "A=3",
    "D=d",
  ]);
});

test.each([
  { text: "A B=1\n", says: /line 1: the name "A B" has blanks/ },
  { text: "\n=1\n", says: /line 2: a variable has no name/ },
])("a file of variables with $text is refused", ({ text, says }) => {
  writeFileSync(join(folder, "bad"), text);
  const host = { env: {}, workingDirectory: folder };
  expect(() => readEnvironment({ envFile: ["bad"], env: [] }, host)).toThrow(says);
  expect(() => readEnvironment({ envFile: ["none"], env: [] }, host)).toThrow(/Cannot read --env-file "none"/);
});
