/** A kind of machine that kiln is published for, in everybody's words for it. */
export interface Machine {
  /** Node's name. */
  readonly arch: "x64" | "arm64";
  /** Debian's and the images' name. */
  readonly debian: "amd64" | "arm64";
  /** The compiler's name. */
  readonly triple: string;
  /** qemu's name. */
  readonly emulator: string;
  /** File name of the program that loads programs. */
  readonly loader: string;
}

export const MACHINES: readonly Machine[] = [
  {
    arch: "x64",
    debian: "amd64",
    triple: "x86_64-linux-gnu",
    emulator: "qemu-x86_64-static",
    loader: "ld-linux-x86-64.so.2",
  },
  {
    arch: "arm64",
    debian: "arm64",
    triple: "aarch64-linux-gnu",
    emulator: "qemu-aarch64-static",
    loader: "ld-linux-aarch64.so.1",
  },
];

/** Libraries that Node is linked with, and those that they need. */
export const LIBRARIES = ["libc.so.6", "libdl.so.2", "libgcc_s.so.1", "libm.so.6", "libpthread.so.0", "libstdc++.so.6"];

export function isNative({ arch }: Machine): boolean {
  return arch === process.arch;
}

/** Folders with a machine's libraries: the system's, or those of Debian's cross compiler. */
export function libraryFolders(machine: Machine): readonly string[] {
  const { triple } = machine;
  return isNative(machine) ? [`/lib/${triple}`, `/usr/lib/${triple}`, "/lib64"] : [`/usr/${triple}/lib`];
}

/** Words before a program of that machine: none on the machine itself. */
export function runner(machine: Machine): readonly string[] {
  return isNative(machine) ? [] : [machine.emulator, "-L", `/usr/${machine.triple}`];
}
