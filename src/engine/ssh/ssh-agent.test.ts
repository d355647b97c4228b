import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { forwardTo, listenAsAgent } from "../../../solver/ops/exec/agent-socket.ts";
import { serveKeys } from "./ssh-agent.ts";
import { parseSshKey } from "./ssh-keys.ts";

const run = promisify(execFile);
const skip = spawnSync("ssh-keygen", ["-?"]).error === undefined ? undefined : "needs ssh-keygen and ssh-add";
if (skip !== undefined) console.warn(`the tests of the ssh agent are skipped: ${skip}`);

describe.skipIf(skip !== undefined)("an agent that serves a key file", () => {
  test.each([
    { name: "Ed25519", make: ["-t", "ed25519"] },
    { name: "RSA", make: ["-t", "rsa", "-b", "2048"] },
    { name: "RSA in PEM form", make: ["-t", "rsa", "-b", "2048", "-m", "PEM"] },
    { name: "ECDSA on P-256", make: ["-t", "ecdsa", "-b", "256"] },
    { name: "ECDSA on P-521 in PKCS#8 form", make: ["-t", "ecdsa", "-b", "521", "-m", "PKCS8"] },
  ])("$name: OpenSSH's own tools list it, and verify what it signs", async ({ make }) => {
    const directory = mkdtempSync(join(tmpdir(), "kiln-ssh-"));
    try {
      const path = (name: string): string => join(directory, name);
      await run("ssh-keygen", ["-q", ...make, "-N", "", "-C", "me@here", "-f", path("key")]);
      const publicKey = readFileSync(path("key.pub"), "utf8").split(" ");
      const key = parseSshKey(readFileSync(path("key"), "utf8"));
      const at = { directory, permissions: 0o600, owner: undefined } as const;
      await using own = await listenAsAgent(at, serveKeys([key]));
      // As steps see it: through a socket that passes everything on.
      await using agent = await listenAsAgent(at, forwardTo(own.path));
      // Without the private file, so that only the agent can sign.
      rmSync(path("key"));
      const env = { ...process.env, SSH_AUTH_SOCK: agent.path };
      expect((await run("ssh-add", ["-L"], { env })).stdout.split(" ").slice(0, 2)).toEqual(publicKey.slice(0, 2));
      writeFileSync(path("data"), "signed text");
      await run("ssh-keygen", ["-Y", "sign", "-f", path("key.pub"), "-n", "file", path("data")], { env });
      writeFileSync(path("allowed"), `me ${publicKey.slice(0, 2).join(" ")}\n`);
      const verified = spawnSync(
        "ssh-keygen",
        ["-Y", "verify", "-f", path("allowed"), "-I", "me", "-n", "file", "-s", path("data.sig")],
        { input: "signed text", encoding: "utf8" },
      );
      expect(verified.stdout).toMatch(/^Good "file" signature for me/);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  test("a key with a passphrase is refused with the reason", async () => {
    const directory = mkdtempSync(join(tmpdir(), "kiln-ssh-"));
    try {
      await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "secret words", "-f", join(directory, "key")]);
      expect(() => parseSshKey(readFileSync(join(directory, "key"), "utf8"))).toThrow("it has a passphrase");
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

test.each([
  "",
  "not a key",
  "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----",
])("what is no key is an error: %j", (pem) => {
  expect(() => parseSshKey(pem)).toThrow(Error);
});
