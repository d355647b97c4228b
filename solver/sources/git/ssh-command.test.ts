import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Repository, missing, PATH } from "./git.fixture.ts";
import { sshCommand } from "./ssh-command.ts";

test("ssh finds its own files in the account's home, and those of another home are named", () => {
  const home = mkdtempSync(join(tmpdir(), "kiln it's "));
  try {
    const usual = "ssh -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=30 -o ServerAliveCountMax=4";
    expect(sshCommand(home, home)).toBe(usual);
    expect(sshCommand(undefined, home)).toBe(usual);
    expect(sshCommand(home, "/root")).toBe(usual);
    mkdirSync(join(home, ".ssh"));
    const folder = `${home.replaceAll("'", String.raw`'\''`)}/.ssh`;
    const known = `-o 'UserKnownHostsFile="${folder}/known_hosts" "${folder}/known_hosts2"'`;
    expect(sshCommand(home, "/root")).toBe(`${usual} ${known}`);
    for (const name of ["config", "id_rsa"]) writeFileSync(join(home, ".ssh", name), "");
    const identity = `-o 'IdentityFile="${folder}/id_rsa"'`;
    expect(sshCommand(home, "/root")).toBe(`${usual} -F '${folder}/config' ${known} ${identity}`);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});

test.skipIf(missing)("a server that is not known is told with what to do", async () => {
  using repository = new Repository();
  const bin = join(repository.directory, "bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "ssh"), "#!/bin/sh\necho 'Host key verification failed.' >&2\nexit 255\n", { mode: 0o755 });
  const program = { env: { PATH: `${bin}:${PATH}` }, protocols: ["ssh"] } as const;
  await expect(repository.checkOut({ remote: "git@host.test:x.git" }, program)).rejects.toMatchObject({
    code: "source/git",
    hint: expect.stringContaining("known_hosts"),
  });
});
