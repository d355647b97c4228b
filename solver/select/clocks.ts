import { statfsSync } from "node:fs";

/**
 * The value of file times as proof that a file is unchanged.
 * - `own`: they come from this kernel's clock, and no program can set the change time.
 * - `foreign`: they may come from another machine's clock, which may be behind.
 * - `settable`: the change time is the modification time, which any program can set.
 */
export type FileClock = "own" | "foreign" | "settable";

/** File systems by the `f_type` of statfs(2). */
const SETTABLE: ReadonlySet<number> = new Set([
  0x4d44, // vfat, msdos
  0x2011bab0, // exfat
]);
const OWN: ReadonlySet<number> = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // xfs
  0x9123683e, // btrfs
  0x01021994, // tmpfs
  0x858458f6, // ramfs
  0x794c7630, // overlayfs
  0x2fc12fc1, // zfs
  0xf2f52010, // f2fs
  0xca451a4e, // bcachefs
  0x3153464a, // jfs
  0x52654973, // reiserfs
  0x73717368, // squashfs
  0x9660, // iso9660
  0xe0f5e1e2, // erofs
  0x7366746e, // ntfs3
]);

export function clockOf(directory: string): FileClock {
  let type: number;
  try {
    ({ type } = statfsSync(directory));
  } catch {
    // Reading the directory will report the problem.
    return "foreign";
  }
  const unsigned = type >>> 0;
  return SETTABLE.has(unsigned) ? "settable" : OWN.has(unsigned) ? "own" : "foreign";
}
