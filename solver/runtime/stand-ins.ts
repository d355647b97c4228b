import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { AT_FDCWD, O_DIRECTORY, O_PATH, S_IFDIR, S_IFMT } from "../../lib/native/constants.ts";
import type { Native } from "../../lib/native/native.ts";
import { makeDevices, makeProc, makeSysfs } from "./chroot-files.ts";

/** A name in an open directory. */
interface Place {
  readonly parent: number;
  readonly name: string;
}

/** Something that stands for a file system of the kernel. */
interface StandIn {
  /** Path inside a step. */
  readonly target: string;
  readonly make: (native: Native, place: Place) => void;
}

export const STAND_INS: readonly StandIn[] = [
  { target: "/dev", make: makeDevices },
  { target: "/proc", make: makeProc },
  { target: "/sys", make: makeSysfs },
];

/**
 * Stand-ins of /dev, /proc and /sys for the steps of one tree. Making and removing hundreds of files takes longer than most
 * commands, so what a step has left as it was is kept beside the tree for the next one.
 */
export class StandIns {
  readonly #native: Native;
  readonly #directory: string;

  /** `home` is the directory that the tree's own directory is in. */
  constructor(native: Native, home: string) {
    this.#native = native;
    this.#directory = join(home, "stand-ins");
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
  }

  putIn({ parent, name }: Place, standIn: StandIn): void {
    const kept = this.#pathOf(standIn);
    if (this.#native.tryStatat(AT_FDCWD, kept) === undefined) standIn.make(this.#native, { parent, name });
    else this.#native.renameat(AT_FDCWD, kept, parent, name);
  }

  /**
   * Takes a stand-in out of the tree again. `settledNs` is a time between the last change that we made to it and the
   * start of the command: what changed later is not used again.
   */
  takeOut({ parent, name }: Place, standIn: StandIn, settledNs: bigint): void {
    if (this.#isUnchanged({ parent, name }, settledNs)) {
      this.#native.renameat(parent, name, AT_FDCWD, this.#pathOf(standIn));
    } else this.#native.removeTreeSync(parent, name);
  }

  #pathOf({ target }: StandIn): string {
    return join(this.#directory, target);
  }

  #isUnchanged({ parent, name }: Place, settledNs: bigint): boolean {
    const status = this.#native.tryStatat(parent, name);
    if (status === undefined || (status.mode & S_IFMT) !== S_IFDIR) return false;
    const fd = this.#native.openat2(parent, name, { flags: O_PATH | O_DIRECTORY });
    const { ctimeNs } = this.#native.scanTreeSync(fd).columns;
    this.#native.close(fd);
    return ctimeNs.every((timeNs) => timeNs < settledNs);
  }
}
