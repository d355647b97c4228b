import { basename, dirname } from "node:path";
import { rmSync } from "node:fs";
import { run } from "./shell.ts";

/** Packs a folder: names sorted, nobody's, one date, modes without the packing process's umask. */
export function pack(folder: string, file: string, date: string): void {
  const plain = `${file}.tar`;
  const same = [
    "--sort=name",
    "--format=ustar",
    "--owner=0",
    "--group=0",
    "--numeric-owner",
    `--mtime=@${date}`,
    "--mode=u+rwX,go+rX,go-w",
  ];
  run(["tar", ...same, "-C", dirname(folder), "-cf", plain, basename(folder)]);
  // One thread: with more, xz cuts the text into blocks.
  const how = file.endsWith(".xz") ? ["xz", "-9", "-T1"] : ["gzip", "-9", "-n"];
  run(["sh", "-c", `${how.join(" ")} -c <"$1" >"$2"`, "sh", plain, file]);
  rmSync(plain);
}
