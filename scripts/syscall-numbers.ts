/*
 * Writes solver/runtime/policy/syscall-numbers.ts from the kernel's headers:
 *
 *     sh scripts/pinned.sh node scripts/syscall-numbers.ts [--check] [/usr/include]
 *
 * The folder is as Debian's linux-libc-dev lays it out: from Debian 13 on it has the headers of all machines. `--check`
 * writes nothing and compares the table with what headers there are; older ones, which lack calls, are good enough for that.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NEWEST_SYSCALL } from "../solver/runtime/policy/allowed-syscalls.ts";
import { policyCalls } from "../solver/runtime/policy/seccomp.ts";
import { type FilterMachine, SYSCALL_NUMBERS } from "../solver/runtime/policy/syscall-numbers.ts";

const TABLE = join(import.meta.dirname, "../solver/runtime/policy/syscall-numbers.ts");

const HEADERS: Readonly<Record<FilterMachine, string>> = {
  x64: "x86_64-linux-gnu/asm/unistd_64.h",
  i386: "x86_64-linux-gnu/asm/unistd_32.h",
  arm64: "aarch64-linux-gnu/asm/unistd_64.h",
};
const MACHINES = ["x64", "i386", "arm64"] as const satisfies readonly FilterMachine[];

type Numbers = ReadonlyMap<string, number>;

/** Reads the numbers of one machine; `undefined` where its header is not there. */
function readNumbers(folder: string, machine: FilterMachine): Numbers | undefined {
  const path = join(folder, HEADERS[machine]);
  if (!existsSync(path)) return undefined;
  const found = [...readFileSync(path, "latin1").matchAll(/^#define __NR_(\w+)[ \t]+(\d+)$/gm)];
  if (found.length < 100) throw new Error(`${path} is not a list of system calls`);
  return new Map(found.map(([, name = "", number]) => [name, Number(number)]));
}

const newest = (numbers: Numbers): number => Math.max(...numbers.values());

/** Lines that say where the table differs from the headers. Calls that these lack are left alone where they are older. */
function differences(machine: FilterMachine, numbers: Numbers): string[] {
  const names = new Set([...policyCalls(), ...Object.keys(SYSCALL_NUMBERS)]);
  return [...names].flatMap((name) => {
    const [known, real] = [SYSCALL_NUMBERS[name]?.[machine], numbers.get(name)];
    if (known === real || (real === undefined && newest(numbers) < NEWEST_SYSCALL)) return [];
    return [`${name} on ${machine} is ${real ?? "no call"} in the headers and ${known ?? "no call"} in the table`];
  });
}

function check(folder: string): number {
  const lines = MACHINES.flatMap((machine) => {
    const numbers = readNumbers(folder, machine);
    if (numbers === undefined) console.warn(`not compared: there is no ${join(folder, HEADERS[machine])}`);
    return numbers === undefined ? [] : differences(machine, numbers);
  });
  for (const line of lines) console.error(line);
  return lines.length === 0 ? 0 : 1;
}

function write(folder: string): number {
  const all = MACHINES.map((machine) => ({ machine, numbers: readNumbers(folder, machine) }));
  const rows = policyCalls().flatMap((name) => {
    const cells = all.flatMap(({ machine, numbers }) => {
      const number = numbers?.get(name);
      return number === undefined ? [] : [`${machine}: ${number}`];
    });
    return cells.length === 0 ? [] : [`  ${name}: { ${cells.join(", ")} },\n`];
  });
  for (const { machine, numbers } of all) {
    if (numbers !== undefined && newest(numbers) >= NEWEST_SYSCALL) continue;
    const found = numbers === undefined ? "no header" : `calls up to ${newest(numbers)}`;
    console.error(`${folder} has ${found} for ${machine}, and the policy speaks of calls up to ${NEWEST_SYSCALL}`);
    return 1;
  }
  const text = readFileSync(TABLE, "utf8");
  writeFileSync(TABLE, text.replace(/(?<== \{\n)[^}][\s\S]*(?=^\};$)/m, rows.join("")));
  return 0;
}

const words: readonly string[] = process.argv.slice(2);
const folder = words.find((word) => !word.startsWith("-")) ?? "/usr/include";
process.exitCode = words.includes("--check") ? check(folder) : write(folder);
