import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

/** Lists what runs, is mounted or lies about although no kiln works in `folder` any more; one line each. */
export function leftBehind(folder: string, temporaries?: string): readonly string[] {
  const names = temporaries === undefined ? [] : readdirSync(temporaries);
  return [...processesIn(folder), ...mountsIn(folder), ...names.map((name) => `temporary ${name}`)];
}

/** Processes that stand in the folder, have it as their root or name it on their command line. */
function processesIn(folder: string): readonly string[] {
  return pids().flatMap((pid) => {
    const words = textOf(pid, "cmdline").replaceAll("\0", " ").trim();
    const places = ["cwd", "root"].map((link) => linkOf(pid, link));
    const isOurs = pid === String(process.pid) || words.startsWith("docker-registry");
    return !isOurs && [words, ...places].some((text) => text.includes(folder)) ? [`process ${pid} ${words}`] : [];
  });
}

/** Mounts of any mount namespace. */
function mountsIn(folder: string): readonly string[] {
  const found = pids().flatMap((pid) =>
    textOf(pid, "mountinfo")
      .split("\n")
      .filter((line) => line.includes(folder)),
  );
  return [...new Set(found)].map((line) => `mount ${line}`);
}

function pids(): readonly string[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name));
}

function textOf(pid: string, name: string): string {
  try {
    return readFileSync(join("/proc", pid, name), "utf8");
  } catch {
    return ""; // The process has ended.
  }
}

function linkOf(pid: string, name: string): string {
  try {
    return readlinkSync(join("/proc", pid, name));
  } catch {
    return "";
  }
}
