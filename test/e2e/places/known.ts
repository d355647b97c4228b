/** A difference from root's layers that is known, until it is gone. */
export interface KnownDifference {
  /** The cases that it shows in. */
  readonly cases: readonly string[];
  readonly places: RegExp;
  /** Lines that are only in root's layers (`- `) or only in the place's (`+ `), or the error where the build fails (`! `). */
  readonly lines: RegExp;
  readonly because: string;
}

const CHROOT = /without CAP_SYS_ADMIN|^a container of kiln's own$|^docker run$/;
const PLAIN_TREE = /without CAP_SYS_ADMIN/;
export const KNOWN: readonly KnownDifference[] = [
  {
    cases: ["owners beyond the map", "devices and fifos"],
    places: PLAIN_TREE,
    lines: /^! /,
    because: "the kernel allows no id beyond the map, and makes no devices in a user namespace",
  },
  {
    cases: ["owners and links"],
    places: CHROOT,
    lines: /(d|across)/,
    because:
      "overlay gives one name of a linked file of a lower layer a file of its own; in a plain tree all names change",
  },
  {
    cases: ["caches and secrets"],
    places: CHROOT,
    lines: /^! .*ctx\/mine/,
    because: "a bind mount is a copy that can be written",
  },
  {
    cases: ["what programs look at"],
    places: /single id|--user 1000/,
    lines: /^! /,
    because: "opening is not refused between pretended users",
  },
  {
    cases: ["what programs look at"],
    places: /without CAP_SYS_ADMIN/,
    lines: /^! /,
    because: "where no device can be made /dev/null looks like a file",
  },
  {
    cases: ["what programs look at"],
    places: /seccomp=unconfined/,
    lines: /^! /,
    because: "/proc is the container's own, in which processes have other numbers",
  },
];
