import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { busyboxRoot, has } from "../harness.ts";
import type { Case } from "./dockerfiles.ts";
import { type Layer, layersOf } from "./layers.ts";
import type { Place } from "./places.ts";

/** The result of a case in a place. */
export type Built =
  | { readonly kind: "layers"; readonly layers: readonly Layer[]; readonly stderr: string }
  | { readonly kind: "failed"; readonly stderr: string };

/** Programs that the base image has beside busybox, where this machine has them. */
const PROGRAMS = [
  "setcap",
  "getcap",
  "setfacl",
  "getfacl",
  "groupadd",
  "useradd",
  "userdel",
  "install",
  "bash",
  "mkfifo",
];

/** Older than the builds' SOURCE_DATE_EPOCH. */
const OLD = new Date("2020-02-02T02:02:02Z");

/** Makes the base image and a context for each case, for all places to read. */
export function writeContexts(folder: string, cases: readonly Case[]): void {
  const root = busyboxRoot(folder);
  addPrograms(root, PROGRAMS.filter(has));
  for (const path of ["old/file", "gone/file", "again/file", "kept", "from", "linked/a", "linked/b", "deep/er/file"]) {
    mkdirSync(join(root, "opt", dirname(path)), { recursive: true });
    writeFileSync(join(root, "opt", path), `${path}\n`);
  }
  symlinkSync("a", join(root, "opt/linked/l"));
  writeFileSync(join(root, "etc/shadow"), "root:*:19000:0:99999:7:::\n", { mode: 0o640 });
  writeFileSync(join(root, "etc/login.defs"), "UMASK 022\nUSERGROUPS_ENAB yes\n");
  age(root);
  run(["tar", "-cf", join(folder, "base.tar"), "--owner=0", "--group=0", "-C", root, "."]);
  const owners = join(folder, "owners");
  mkdirSync(join(owners, "from-tar"), { recursive: true });
  writeFileSync(join(owners, "from-tar/f"), "x");
  age(owners);
  const given = ["--owner=1234", "--group=65534"];
  for (const [index, { lines, files = {} }] of cases.entries()) {
    const context = join(folder, "cases", `${index}`);
    mkdirSync(context, { recursive: true });
    run(["tar", "-cf", join(context, "owners.tar"), ...given, "-C", owners, "from-tar"]);
    writeFileSync(join(context, "Dockerfile"), ["FROM base", ...lines, ""].join("\n"));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(context, name), text);
    age(context);
  }
  run(["chmod", "-R", "a+rX", join(folder, "cases"), join(folder, "base.tar")]);
  chmodSync(folder, 0o755);
}

/** Builds all cases in one place, by one script, and reads what came of it. */
export function buildIn(place: Place, shared: string, cases: readonly Case[]): ReadonlyMap<string, Built> {
  const folder = join(shared, place.name.replaceAll(/\W+/g, "-"));
  const out = join(folder, "out");
  mkdirSync(out, { recursive: true });
  for (const path of [folder, out]) chmodSync(path, 0o777);
  for (const name of ["cases", "base.tar"]) run(["cp", "-a", join(shared, name), folder]);
  const builds = cases.flatMap(({ args = [] }, index) => {
    const output = `type=oci,dest=${out}/${index}.tar,compression=uncompressed,rewrite-timestamp=true`;
    const words = ["build", "--progress=plain", "--output", output, ...args, "."].map((word) => `'${word}'`).join(" ");
    return [`cd ${folder}/cases/${index} && $KILN ${words} 2> ${out}/${index}.err || rm -f ${out}/${index}.tar`];
  });
  const imported = `$KILN import ${folder}/base.tar base > ${out}/import.err 2>&1 || { cat ${out}/import.err; exit 1; }`;
  const { status, stdout, stderr } = place.sh(folder, [imported, ...builds, `chmod -R a+rX ${out}/*`].join("\n"));
  if (status !== 0) return new Map(cases.map(({ name }) => [name, { kind: "failed", stderr: `${stdout}${stderr}` }]));
  return new Map(
    cases.map(({ name }, index): readonly [string, Built] => {
      const text = readFileSync(`${out}/${index}.err`, "utf8");
      const archive = `${out}/${index}.tar`;
      if (!existsSync(archive)) return [name, { kind: "failed", stderr: text }];
      return [name, { kind: "layers", layers: layersOf(archive), stderr: text }];
    }),
  );
}

/** Copies programs of this machine with the libraries they load. */
function addPrograms(root: string, names: readonly string[]): void {
  for (const name of names) {
    const path = run(["sh", "-c", `command -v ${name}`]).trim();
    copy(path, join(root, "usr/bin", name));
    for (const [library] of run(["ldd", path]).matchAll(/\/\S+/g)) copy(library, join(root, library));
  }
}

function copy(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
}

/** Gives everything in a folder one old time. */
function age(folder: string): void {
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" }))
    lutimesSync(join(folder, name), OLD, OLD);
  lutimesSync(folder, OLD, OLD);
}

function run(argv: readonly string[]): string {
  const [program = "", ...args] = argv;
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
  return stdout;
}
