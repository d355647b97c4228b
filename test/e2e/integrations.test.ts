import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { isRecord } from "../../lib/core/json.ts";
import { startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { type Outcome, PROJECT, missing, temporary } from "./harness.ts";

const why = missing();
if (why !== undefined) console.warn(`the tests of integrations/ are skipped: ${why}`);

const read = (path: string): string => readFileSync(join(PROJECT, "integrations", path), "utf8");

/** Returns what stands at a path of keys and places in a document. */
function part(document: unknown, ...path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>((value, key) => {
    if (Array.isArray(value)) return (value as readonly unknown[])[Number(key)];
    return isRecord(value) ? value[key] : undefined;
  }, document);
}

function words(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.map(String);
  throw new Error(`no list: ${JSON.stringify(value)}`);
}

describe.skipIf(why !== undefined)("integrations", { timeout: 60_000 }, () => {
  const folder = temporary();
  const context = join(folder.path, "source");
  const bin = join(folder.path, "bin");
  const auth = { kind: "basic", username: "me", password: "right" } as const;
  let registry: TestRegistry;

  beforeAll(async () => {
    registry = await startTestRegistry({ auth });
    mkdirSync(join(context, "sub dir"), { recursive: true });
    mkdirSync(bin);
    symlinkSync(join(PROJECT, "bin/kiln"), join(bin, "kiln"));
    const dockerfile = "FROM scratch AS one\nARG A=1\nLABEL a=$A\nCOPY . /\nFROM one AS two\n";
    writeFileSync(join(context, "Dockerfile"), dockerfile);
    writeFileSync(join(context, "sub dir", "Other"), dockerfile);
    mkdirSync(join(folder.path, "account"));
    const entry = { auth: Buffer.from("me:right").toString("base64") };
    writeFileSync(join(folder.path, "account/config.json"), JSON.stringify({ auths: { [registry.host]: entry } }));
  });
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  const run = async (command: readonly string[], env: Readonly<Record<string, string>>): Promise<Outcome> => {
    const [program = "", ...args] = command;
    const base = {
      HOME: folder.path,
      KILN_ROOT: join(folder.path, "store"),
      DOCKER_CONFIG: join(folder.path, "account"),
    };
    const child = spawn(program, args, {
      cwd: context,
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: `${bin}:${process.env["PATH"] ?? ""}`, ...base, ...env },
    });
    const [stdout, stderr, status] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      new Promise<number>((resolve) => child.once("close", (code) => resolve(code ?? 255))),
    ]);
    return { status, stdout, stderr };
  };
  const pushed = async (path: string): Promise<string | null> => {
    const headers = { Authorization: `Basic ${Buffer.from("me:right").toString("base64")}`, Accept: "*/*" };
    return (await fetch(`http://${registry.host}/v2/${path}`, { method: "HEAD", headers })).headers.get(
      "docker-content-digest",
    );
  };

  test("GitHub: the action's inputs reach the build as they are, and its outputs are what was built", async () => {
    const action: unknown = parse(read("github/action.yml"));
    const inputs = Object.keys(part(action, "inputs") ?? {});
    const env = part(action, "runs", "steps", 1, "env") ?? {};
    const used = JSON.stringify(part(action, "runs", "steps"));
    expect(inputs.filter((name) => !used.includes(`\${{ inputs.${name} }}`))).toEqual([]);
    expect(part(action, "runs", "using")).toBe("composite");
    const script = read("github/build.sh");
    const unread = Object.keys(env).filter((name) => !script.includes(name) && !script.includes(`:${name.slice(6)}`));
    expect(unread).toEqual([]);

    const output = join(folder.path, "output");
    const { status, stderr } = await run(["sh", "-c", String(part(action, "runs", "steps", 1, "run"))], {
      GITHUB_ACTION_PATH: join(PROJECT, "integrations/github"),
      GITHUB_OUTPUT: output,
      GITHUB_STEP_SUMMARY: join(folder.path, "summary.md"),
      RUNNER_TEMP: folder.path,
      INPUT_CONTEXT: ".",
      INPUT_FILE: "sub dir/Other",
      INPUT_TAGS: `${registry.host}/gh:1\n\n${registry.host}/gh:2\n`,
      INPUT_BUILD_ARGS: 'A=two words; $(touch hacked) "`"\n',
      INPUT_LABELS: "l=m",
      INPUT_TARGET: "one",
      INPUT_PUSH: "true",
      INPUT_FLAGS: "--annotation=x=y z\n--sbom=false",
    });
    expect(stderr).toContain("pushed");
    expect(status).toBe(0);
    const outputs = Object.fromEntries(
      readFileSync(output, "utf8")
        .trim()
        .split("\n")
        .map((line) => line.split("=", 2) as [string, string]),
    );
    expect(outputs["digest"]).toBe(await pushed("gh/manifests/1"));
    expect(await pushed("gh/manifests/2")).toBe(outputs["digest"]);
    expect(outputs["image-id"]).toMatch(/^sha256:/);
    const labels = await run(
      ["kiln", "inspect", "-f", "{{.Config.Labels.a}}|{{.Config.Labels.l}}", `${registry.host}/gh:1`],
      {},
    );
    expect(labels.stdout.trim()).toBe('two words; $(touch hacked) "`"|m');
    expect(readFileSync(join(folder.path, "summary.md"), "utf8")).toContain("Build succeeded");
  });

  test("GitHub: a build that fails fails the step", async () => {
    const { status } = await run(["sh", join(PROJECT, "integrations/github/build.sh")], {
      GITHUB_OUTPUT: join(folder.path, "output2"),
      INPUT_TARGET: "nowhere",
    });
    expect(status).toBe(1);
  });

  test("GitHub: kiln is installed where there is none, and user namespaces are allowed", async () => {
    const tools = join(folder.path, "tools");
    const log = join(folder.path, "log");
    mkdirSync(tools);
    const script = (name: string, body: string): void => {
      writeFileSync(join(tools, name), `#!/bin/sh\necho ${name} "$@" >>${log}\n${body}\n`);
      chmodSync(join(tools, name), 0o755);
    };
    script("npm", `ln -s ${join(PROJECT, "bin/kiln")} ${join(tools, "kiln")}`);
    script("id", "echo 1000");
    script("sudo", "exit 0");
    const { status, stdout } = await run(["/bin/sh", join(PROJECT, "integrations/github/install.sh")], {
      PATH: `${tools}:/usr/bin:/bin`,
      KILN_VERSION: "1.2.3",
    });
    expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringMatching(/^kiln \d/) });
    expect(readFileSync(log, "utf8")).toContain("npm install --global kiln@1.2.3\n");
  });

  test("GitLab: the job logs in, builds with a cache and pushes", async () => {
    const job = part(parse(read("gitlab/kiln.gitlab-ci.yml")), ".kiln-build");
    const given: Readonly<Record<string, string>> = {
      CI_PROJECT_DIR: context,
      CI_REGISTRY: registry.host,
      CI_REGISTRY_IMAGE: `${registry.host}/gl`,
      CI_REGISTRY_USER: "me",
      CI_REGISTRY_PASSWORD: "right",
      CI_COMMIT_REF_SLUG: "main",
    };
    // The runner puts variables into variables.
    const expand = (value: string): string => value.replaceAll(/\$(\w+)/g, (_, name: string) => given[name] ?? "");
    const own = Object.entries(part(job, "variables") ?? {}).map(([name, value]) => [name, expand(String(value))]);
    const lines = words(part(job, "script"));
    const { status, stderr } = await run(["sh", "-c", ["set -eu", ...lines].join("\n")], {
      ...given,
      ...Object.fromEntries(own),
      DOCKER_CONFIG: join(folder.path, "gitlab-account"),
      KILN_FLAGS: "--target two --label a=b",
    });
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(await pushed("gl/manifests/main")).toMatch(/^sha256:/);
    expect(readFileSync(join(context, "metadata.json"), "utf8")).toContain("containerimage.digest");
  });

  test("Kubernetes: the pod's arguments build and push, and it asks for no privileges", async () => {
    const [document] = parseAllDocuments(read("kubernetes/pod.yaml"));
    const pod: unknown = document?.toJS();
    const container = part(pod, "spec", "containers", 0);
    expect(part(container, "securityContext")).toEqual({ runAsUser: 0, allowPrivilegeEscalation: false });
    const volumes = JSON.stringify(part(pod, "spec", "volumes"));
    for (const mount of (part(container, "volumeMounts") ?? []) as readonly unknown[])
      expect(volumes).toContain(`"name":"${String(part(mount, "name"))}"`);
    const args = words(part(container, "args")).map((word) =>
      word.startsWith("https://git.example/") ? context : word.replaceAll("registry.example", registry.host),
    );
    const { status, stderr } = await run(["kiln", ...args], {});
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(await pushed("team/app/manifests/1")).toMatch(/^sha256:/);
  });

  test("Tekton: the step builds and pushes, and writes the task's results", async () => {
    const task: unknown = parse(read("tekton/task.yaml"));
    const step = part(task, "spec", "steps", 0);
    const values: Readonly<Record<string, string>> = {
      "params.IMAGE": `${registry.host}/tk:1`,
      "params.DOCKERFILE": "Other",
      "params.CONTEXT": "sub dir",
      "workspaces.source.path": context,
      "workspaces.dockerconfig.path": join(folder.path, "account"),
      "results.IMAGE_DIGEST.path": join(folder.path, "IMAGE_DIGEST"),
      "results.IMAGE_URL.path": join(folder.path, "IMAGE_URL"),
    };
    const filled = (value: unknown): string =>
      String(value).replaceAll(/\$\(([\w.]+)\)/g, (whole, name: string) => values[name] ?? whole);
    const env = ((part(step, "env") ?? []) as readonly unknown[]).map((one) => [
      part(one, "name"),
      filled(part(one, "value")),
    ]);
    writeFileSync(join(folder.path, "script"), filled(part(step, "script")), { mode: 0o755 });
    const { status, stderr } = await run([join(folder.path, "script"), "--label", "a b=c d"], {
      ...(Object.fromEntries(env) as Record<string, string>),
      KILN_ROOT: join(folder.path, "store"),
      TMPDIR: folder.path,
    });
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(readFileSync(join(folder.path, "IMAGE_DIGEST"), "utf8")).toBe(await pushed("tk/manifests/1"));
    expect(readFileSync(join(folder.path, "IMAGE_URL"), "utf8")).toBe(`${registry.host}/tk:1`);
    const names = JSON.stringify(part(task, "spec", "params"));
    for (const [, name = ""] of read("tekton/task.yaml").matchAll(/\$\(params\.(\w+)/g)) expect(names).toContain(name);
  });
});
