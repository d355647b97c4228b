import { readdirSync, readFileSync } from "node:fs";
import type { ProbeResult } from "./probe-files.ts";

const BINFMT = "/proc/sys/fs/binfmt_misc";

/** qemu's names of processors, and those of platforms. */
const PLATFORMS: Readonly<Record<string, string>> = {
  aarch64: "arm64",
  arm: "arm",
  i386: "386",
  loongarch64: "loong64",
  mips64el: "mips64le",
  ppc64le: "ppc64le",
  riscv64: "riscv64",
  s390x: "s390x",
  x86_64: "amd64",
};

/**
 * Reports which other platforms' programs the kernel runs by an emulator. Only handlers whose emulator the kernel holds open
 * (flag F) work inside a step, where the emulator's file is not.
 * @param directory of the kernel's registrations; another one in tests
 */
export function emulationResult(directory: string = BINFMT): ProbeResult {
  const found = registrations(directory);
  const usable = found.filter(({ isOpen }) => isOpen).map(({ platform }) => platform);
  const name = "other platforms";
  if (usable.length > 0) {
    return {
      name,
      ok: true,
      detail: `RUN works for ${usable.map((one) => `linux/${one}`).join(", ")}`,
      fix: undefined,
    };
  }
  const detail =
    found.length > 0 ? "the emulators are registered without the flag F" : "no emulator is registered with binfmt_misc";
  return {
    name,
    ok: false,
    detail,
    fix: "apt-get install qemu-user-static binfmt-support, or docker run --privileged --rm tonistiigi/binfmt --install all",
  };
}

function registrations(directory: string): readonly { readonly platform: string; readonly isOpen: boolean }[] {
  try {
    return readdirSync(directory)
      .toSorted()
      .flatMap((file) => {
        const platform = PLATFORMS[/^qemu-(.+)$/.exec(file)?.[1] ?? ""];
        if (platform === undefined) return [];
        const text = readFileSync(`${directory}/${file}`, "utf8");
        return text.startsWith("enabled") ? [{ platform, isOpen: /^flags: .*F/m.test(text) }] : [];
      });
  } catch {
    return []; // not mounted, or not readable: nothing is known to work
  }
}
