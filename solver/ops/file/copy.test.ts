import { describe, expect, test } from "vitest";
import type { CopyAction } from "../../graph/op.ts";
import { copyAction, FileBench, SKIP_UNLESS_ROOT } from "./testing.ts";

interface Case {
  readonly name: string;
  readonly context?: readonly string[];
  /** Lowest first. */
  readonly layers?: readonly (readonly string[])[];
  readonly copies: readonly (readonly [source: string, destination: string, changes?: Partial<CopyAction>])[];
  readonly makes: readonly string[];
}

const octal = (bits: number): Partial<CopyAction> => ({ mode: { kind: "octal", bits } });
const symbolic = (text: string): Partial<CopyAction> => ({ mode: { kind: "symbolic", text } });
const owner = (user: string, group?: string): Partial<CopyAction> => ({ owner: { user, group } });

const CASES: readonly Case[] = [
  // Destinations.
  { name: "a file under a new name", context: ["f a"], copies: [["a", "/b"]], makes: ["f b 644 0:0 =a"] },
  {
    name: "a file into a directory that the slash asks for",
    context: ["f a"],
    copies: [["a", "/d/"]],
    makes: ["d d 755 0:0", "f d/a 644 0:0 =a"],
  },
  {
    name: "a file into a directory that exists",
    context: ["f a"],
    layers: [["d d 711 3:4"]],
    copies: [["a", "/d"]],
    makes: ["d d 711 3:4", "f d/a 644 0:0 =a"],
  },
  {
    name: "a file with its parents made",
    context: ["f a"],
    copies: [["a", "/x/y/z"]],
    makes: ["d x 755 0:0", "d x/y 755 0:0", "f x/y/z 644 0:0 =a"],
  },
  { name: "a file to the root", context: ["f sub/a"], copies: [["sub/a", "/"]], makes: ["f a 644 0:0 =sub/a"] },
  {
    name: "a directory by its contents into a new one",
    context: ["d d 700", "f d/a", "f d/s/b"],
    copies: [["d", "/n"]],
    makes: ["d n 755 0:0", "f n/a 644 0:0 =d/a", "d n/s 755 0:0", "f n/s/b 644 0:0 =d/s/b"],
  },
  {
    name: "a directory's contents into the root",
    context: ["f d/a"],
    copies: [["d", "/"]],
    makes: ["f a 644 0:0 =d/a"],
  },
  {
    name: "a slash behind a source directory changes nothing",
    context: ["f d/a"],
    copies: [["d/", "/n/"]],
    makes: ["d n 755 0:0", "f n/a 644 0:0 =d/a"],
  },
  {
    name: "an existing destination directory keeps mode and owner",
    context: ["f d/a"],
    layers: [["d n 711 3:4"]],
    copies: [["d", "/n"]],
    makes: ["d n 711 3:4", "f n/a 644 0:0 =d/a"],
  },
  {
    name: "an existing directory inside takes the source's mode and owner",
    context: ["d d/s 700", "f d/s/a"],
    layers: [["d n/s 711 3:4"]],
    copies: [["d", "/n"]],
    makes: ["d n 755 0:0", "d n/s 700 0:0", "f n/s/a 644 0:0 =d/s/a"],
  },
  { name: "an empty directory", context: ["d e 700"], copies: [["e", "/n"]], makes: ["d n 755 0:0"] },
  {
    name: "the whole context",
    context: ["f a", "f d/b"],
    copies: [["", "/app/"]],
    makes: ["d app 755 0:0", "f app/a 644 0:0 =a", "d app/d 755 0:0", "f app/d/b 644 0:0 =d/b"],
  },
  {
    name: "the whole context written as a dot",
    context: ["f a"],
    copies: [[".", "/app"]],
    makes: ["d app 755 0:0", "f app/a 644 0:0 =a"],
  },
  {
    name: "several sources in order, the last one wins",
    context: ["f a", "f b"],
    copies: [
      ["a", "/x"],
      ["b", "/x"],
    ],
    makes: ["f x 644 0:0 =b"],
  },
  {
    name: "two directories merged",
    context: ["f p/a", "f q/b", "f q/a"],
    copies: [
      ["p", "/n"],
      ["q", "/n"],
    ],
    makes: ["d n 755 0:0", "f n/a 644 0:0 =q/a", "f n/b 644 0:0 =q/b"],
  },
  {
    name: "a path that climbs out is clamped to the root",
    context: ["f a"],
    copies: [["../../a", "/b"]],
    makes: ["f b 644 0:0 =a"],
  },
  {
    name: "a destination that climbs out is clamped",
    context: ["f a"],
    copies: [["a", "/../../x/"]],
    makes: ["d x 755 0:0", "f x/a 644 0:0 =a"],
  },
  { name: "an empty file", context: ["f e ="], copies: [["e", "/e"]], makes: ["f e 644 0:0 ="] },
  {
    name: "a file replaces a lower file",
    context: ["f a =new"],
    layers: [["f x 600 5:5 =old"]],
    copies: [["a", "/x"]],
    makes: ["f x 644 0:0 =new"],
  },
  {
    name: "a file replaces a lower symlink only inside a copied directory",
    context: ["f d/x =new"],
    layers: [["l n/x target"]],
    copies: [["d", "/n"]],
    makes: ["d n 755 0:0", "f n/x 644 0:0 =new"],
  },
  {
    name: "a name with spaces and letters beyond ASCII",
    context: ["f ünï-✓"],
    copies: [["ünï-✓", "/"]],
    makes: ["f ünï-✓ 644 0:0 =ünï-✓"],
  },

  // Symlinks of the source.
  {
    name: "a symlink as source is followed and gives its name",
    context: ["f a", "l s a"],
    copies: [["s", "/d/"]],
    makes: ["d d 755 0:0", "f d/s 644 0:0 =a"],
  },
  {
    name: "a symlink to a directory as source",
    context: ["f d/a", "l s d"],
    copies: [["s", "/n"]],
    makes: ["d n 755 0:0", "f n/a 644 0:0 =d/a"],
  },
  {
    name: "a path through a symlink",
    context: ["f d/a", "l s d"],
    copies: [["s/a", "/x"]],
    makes: ["f x 644 0:0 =d/a"],
  },
  {
    name: "an absolute symlink means the context's root",
    context: ["f a", "l d/s /a"],
    copies: [["d/s", "/x"]],
    makes: ["f x 644 0:0 =a"],
  },
  {
    name: "a symlink that climbs out stays inside",
    context: ["f a", "l d/s ../../../../a"],
    copies: [["d/s", "/x"]],
    makes: ["f x 644 0:0 =a"],
  },
  {
    name: "symlinks inside a directory stay symlinks",
    context: ["l d/s ../a", "l d/abs /etc/passwd", "l d/dangling nowhere"],
    copies: [["d", "/n"]],
    makes: ["d n 755 0:0", "l n/abs /etc/passwd 0:0", "l n/dangling nowhere 0:0", "l n/s ../a 0:0"],
  },

  // Symlinks of the destination.
  {
    name: "a destination symlink to a directory, without a slash",
    context: ["f a"],
    layers: [["d real", "l lnk /real"]],
    copies: [["a", "/lnk"]],
    makes: ["d real 755 0:0", "f real/a 644 0:0 =a"],
  },
  {
    name: "a destination symlink to a directory, with a slash",
    context: ["f a"],
    layers: [["d real", "l lnk real"]],
    copies: [["a", "/lnk/"]],
    makes: ["d real 755 0:0", "f real/a 644 0:0 =a"],
  },
  {
    name: "a destination symlink to a file",
    context: ["f a"],
    layers: [["f t/file =old", "l lnk /t/file"]],
    copies: [["a", "/lnk"]],
    makes: ["d t 755 0:0", "f t/file 644 0:0 =a"],
  },
  {
    name: "a dangling destination symlink is followed",
    context: ["f a"],
    layers: [["l lnk /gone/there"]],
    copies: [["a", "/lnk"]],
    makes: ["d gone 755 0:0", "f gone/there 644 0:0 =a"],
  },
  {
    name: "a destination symlink that climbs out stays inside",
    context: ["f a"],
    layers: [["d etc", "l esc ../../../../etc"]],
    copies: [["a", "/esc/zz"]],
    makes: ["d etc 755 0:0", "f etc/zz 644 0:0 =a"],
  },
  {
    name: "a new directory below a destination symlink",
    context: ["f d/a"],
    layers: [["d real", "l lnk /real"]],
    copies: [["d", "/lnk/deep/"]],
    makes: ["d real 755 0:0", "d real/deep 755 0:0", "f real/deep/a 644 0:0 =d/a"],
  },
  {
    name: "a chain of symlinks over layers",
    context: ["f a"],
    layers: [["d real"], ["l one two"], ["l two /real"]],
    copies: [["a", "/one/"]],
    makes: ["d real 755 0:0", "f real/a 644 0:0 =a"],
  },

  // Wildcards.
  {
    name: "a star among files",
    context: ["f a.txt", "f b.txt", "f c.md"],
    copies: [["*.txt", "/d/"]],
    makes: ["d d 755 0:0", "f d/a.txt 644 0:0 =a.txt", "f d/b.txt 644 0:0 =b.txt"],
  },
  {
    name: "a star that matches directories copies what they hold",
    context: ["f w/p/1", "f w/q/2"],
    copies: [["w/*", "/d/"]],
    makes: ["d d 755 0:0", "f d/1 644 0:0 =w/p/1", "f d/2 644 0:0 =w/q/2"],
  },
  {
    name: "stars on two levels",
    context: ["f w/p/1.txt", "f w/q/2.txt", "f w/q/x"],
    copies: [["w/*/*.txt", "/d/"]],
    makes: ["d d 755 0:0", "f d/1.txt 644 0:0 =w/p/1.txt", "f d/2.txt 644 0:0 =w/q/2.txt"],
  },
  {
    name: "a star does not cross a slash",
    context: ["f a/b.txt", "f c.txt"],
    copies: [["*.txt", "/d/"]],
    makes: ["d d 755 0:0", "f d/c.txt 644 0:0 =c.txt"],
  },
  {
    name: "a question mark and a class",
    context: ["f a1", "f a2", "f a33"],
    copies: [
      ["a[12]", "/d/"],
      ["?33", "/d/"],
    ],
    makes: ["d d 755 0:0", "f d/a1 644 0:0 =a1", "f d/a2 644 0:0 =a2", "f d/a33 644 0:0 =a33"],
  },
  {
    name: "a bracket escaped by a class",
    context: ["f arr[0].txt"],
    copies: [["arr[[]0].txt", "/d/"]],
    makes: ["d d 755 0:0", "f d/arr[0].txt 644 0:0 =arr[0].txt"],
  },
  { name: "a wildcard that matches nothing makes nothing", context: ["f a"], copies: [["no*", "/d/"]], makes: [] },
  {
    name: "a wildcard below a symlink",
    context: ["f d/a.txt", "l s d"],
    copies: [["s/*.txt", "/x/"]],
    makes: ["d x 755 0:0", "f x/a.txt 644 0:0 =d/a.txt"],
  },
  {
    name: "a symlink that matches a wildcard is followed",
    context: ["f a", "l s1 a"],
    copies: [["s*", "/d/"]],
    makes: ["d d 755 0:0", "f d/s1 644 0:0 =a"],
  },
  {
    name: "hidden files match a star",
    context: ["f .hidden", "f seen"],
    copies: [["*", "/d/"]],
    makes: ["d d 755 0:0", "f d/.hidden 644 0:0 =.hidden", "f d/seen 644 0:0 =seen"],
  },

  // Modes and owners.
  {
    name: "modes are kept, set-id bits too",
    context: ["f a 4755", "f b 2711", "d d 1777", "f d/x 600"],
    copies: [["", "/n/"]],
    makes: ["d n 755 0:0", "f n/a 4755 0:0 =a", "f n/b 2711 0:0 =b", "d n/d 1777 0:0", "f n/d/x 600 0:0 =d/x"],
  },
  {
    name: "the client's owners do not count",
    context: ["f a 644 1000:1000", "d d 755 5:5"],
    copies: [["", "/n/"]],
    makes: ["d n 755 0:0", "f n/a 644 0:0 =a", "d n/d 755 0:0"],
  },
  {
    name: "an octal mode for everything, less set-id for parents",
    context: ["f d/a 600", "d d/s 700", "l d/l a"],
    copies: [["d", "/p/n", octal(0o4711)]],
    makes: ["d p 711 0:0", "d p/n 711 0:0", "f p/n/a 4711 0:0 =d/a", "l p/n/l a 0:0", "d p/n/s 4711 0:0"],
  },
  { name: "a sticky octal mode", context: ["f a"], copies: [["a", "/x", octal(0o1777)]], makes: ["f x 1777 0:0 =a"] },
  {
    name: "a symbolic mode, X only where it belongs",
    context: ["f d/a 640", "d d/s 700", "f d/s/run 744"],
    copies: [["d", "/n5/n6", symbolic("u=rwX,go=rX")]],
    makes: [
      "d n5 755 0:0",
      "d n5/n6 755 0:0",
      "f n5/n6/a 644 0:0 =d/a",
      "d n5/n6/s 755 0:0",
      "f n5/n6/s/run 755 0:0 =d/s/run",
    ],
  },
  {
    name: "a symbolic mode that takes away",
    context: ["f a 644"],
    copies: [["a", "/x", symbolic("u+s,g-w,o=")]],
    makes: ["f x 4640 0:0 =a"],
  },
  {
    name: "a symbolic mode that copies a class",
    context: ["f a 644"],
    copies: [["a", "/x", symbolic("g=u,o=u")]],
    makes: ["f x 666 0:0 =a"],
  },
  {
    name: "a numeric owner is its own group, parents included",
    context: ["f a"],
    copies: [["a", "/p/q", owner("7")]],
    makes: ["d p 755 7:7", "f p/q 644 7:7 =a"],
  },
  {
    name: "a numeric owner and group",
    context: ["f a"],
    copies: [["a", "/x", owner("7", "8")]],
    makes: ["f x 644 7:8 =a"],
  },
  {
    name: "a name with its primary group",
    context: ["f a"],
    layers: [["f etc/passwd =me:x:77:88::/:/bin/sh\n"]],
    copies: [["a", "/x", owner("me")]],
    makes: ["f x 644 77:88 =a"],
  },
  {
    name: "a name and a group's name",
    context: ["f a"],
    layers: [["f etc/passwd =me:x:77:88::/:/bin/sh\n", "f etc/group =grp:x:99:\n"]],
    copies: [["a", "/x", owner("me", "grp")]],
    makes: ["f x 644 77:99 =a"],
  },
  {
    name: "an unknown group leaves the primary one",
    context: ["f a"],
    layers: [["f etc/passwd =me:x:77:88::/:/bin/sh\n", "f etc/group =grp:x:99:\n"]],
    copies: [["a", "/x", owner("me", "nosuch")]],
    makes: ["f x 644 77:88 =a"],
  },
  {
    name: "an unknown user is root",
    context: ["f a"],
    layers: [["f etc/passwd =me:x:77:88::/:/bin/sh\n", "f etc/group =grp:x:99:\n"]],
    copies: [["a", "/x", owner("nosuch", "grp")]],
    makes: ["f x 644 0:99 =a"],
  },
  {
    name: "a name without a passwd file is root",
    context: ["f a"],
    copies: [["a", "/x", owner("me")]],
    makes: ["f x 644 0:0 =a"],
  },
  {
    name: "root needs no passwd file",
    context: ["f a 644 3:3"],
    copies: [["a", "/x", owner("root", "root")]],
    makes: ["f x 644 0:0 =a"],
  },
  {
    name: "a passwd file behind a symlink inside the root",
    context: ["f a"],
    layers: [["f usr/passwd =me:x:77:88::/:/bin/sh\n", "l etc/passwd ../usr/passwd"]],
    copies: [["a", "/x", owner("me")]],
    makes: ["f x 644 77:88 =a"],
  },
  {
    name: "a passwd file that is a directory is none",
    context: ["f a"],
    layers: [["d etc/passwd"]],
    copies: [["a", "/x", owner("me")]],
    makes: ["f x 644 0:0 =a"],
  },
  {
    name: "set-id bits survive a change of owner",
    context: ["f a 6755"],
    copies: [["a", "/x", owner("5")]],
    makes: ["f x 6755 5:5 =a"],
  },
  {
    name: "symlinks are given away too",
    context: ["l d/s t"],
    copies: [["d", "/n", owner("5")]],
    makes: ["d n 755 5:5", "l n/s t 5:5"],
  },

  // Special files and links.
  { name: "a fifo", context: ["p d/p"], copies: [["d", "/n"]], makes: ["d n 755 0:0", "p n/p 644 0:0"] },
  { name: "a device", context: ["c d/null 1:3"], copies: [["d", "/n"]], makes: ["d n 755 0:0", "c n/null 600 1:3"] },
  {
    name: "a plain 0:0 device of the context is a device, not a whiteout",
    context: ["f d/a", "w d/dev"],
    copies: [["d/a", "/n/"]],
    makes: ["d n 755 0:0", "f n/a 644 0:0 =d/a"],
  },
  {
    name: "hard links within one copy",
    context: ["f d/a", "h d/s/b d/a"],
    copies: [["d", "/n"]],
    makes: ["d n 755 0:0", "f n/a 644 0:0 =d/a", "d n/s 755 0:0", "h n/s/b n/a"],
  },
  {
    name: "hard links in two copies are two files",
    context: ["f a", "h b a"],
    copies: [
      ["a", "/n/"],
      ["b", "/n/"],
    ],
    makes: ["d n 755 0:0", "f n/a 644 0:0 =a", "f n/b 644 0:0 =a"],
  },
  {
    name: "a lower hard link is broken, not written through",
    context: ["f a =new"],
    layers: [["f one =old", "h two one"]],
    copies: [["a", "/one"]],
    makes: ["f one 644 0:0 =new"],
  },

  // Setgid directories.
  {
    name: "into a setgid directory: new directories inherit its group, files do not",
    context: ["f a", "d d 700", "d d/sub", "f d/sub/b"],
    layers: [["d g 2775 7:33"]],
    copies: [
      ["a", "/g/a"],
      ["a", "/g/p/q/a"],
      ["a", "/g/r/s/a", { owner: { user: "9", group: undefined } }],
      ["a", "/g/t/a", { mode: { kind: "octal", bits: 0o700 } }],
      ["d", "/g"],
      ["d", "/g/u"],
    ],
    makes: [
      "d g 2775 7:33",
      "f g/a 644 0:0 =a",
      "d g/p 2755 0:33",
      "d g/p/q 2755 0:33",
      "f g/p/q/a 644 0:0 =a",
      "d g/r 2755 9:9",
      "d g/r/s 2755 9:9",
      "f g/r/s/a 644 9:9 =a",
      "d g/sub 755 0:0",
      "f g/sub/b 644 0:0 =d/sub/b",
      "d g/t 2700 0:33",
      "f g/t/a 700 0:0 =a",
      "d g/u 2755 0:33",
      "d g/u/sub 755 0:0",
      "f g/u/sub/b 644 0:0 =d/sub/b",
    ],
  },
  {
    name: "a setgid directory with what is in it",
    context: ["d d/g 2755", "d d/g/sub", "f d/g/f"],
    copies: [["d", "/n"]],
    makes: ["d n 755 0:0", "d n/g 2755 0:0", "f n/g/f 644 0:0 =d/g/f", "d n/g/sub 755 0:0"],
  },
  // --exclude.
  {
    name: "the sources that a pattern names",
    context: ["f home.txt", "f home.md", "f homx", "f hom.d/x.txt", "f hom.d/y"],
    copies: [["hom*", "/n/", { excludes: ["*.txt"] }]],
    makes: ["d n 755 0:0", "f n/home.md 644 0:0 =home.md", "f n/homx 644 0:0 =homx", "f n/y 644 0:0 =hom.d/y"],
  },
  {
    name: "the sources that a pattern names by their path",
    context: ["f d/a.txt", "f d/b.txt", "f d/c"],
    copies: [
      ["d/*", "/n/", { excludes: ["*.txt", "d/b.*"] }],
      ["d/*", "/m/", { excludes: ["**/*.txt"] }],
    ],
    makes: ["d m 755 0:0", "f m/c 644 0:0 =d/c", "d n 755 0:0", "f n/a.txt 644 0:0 =d/a.txt", "f n/c 644 0:0 =d/c"],
  },
  {
    name: "all sources but what an exception names",
    context: ["f a.so", "f b.so", "f lib/c.so", "f lib/d.so"],
    copies: [
      ["*.so", "/n/", { excludes: ["*", "!b.so"] }],
      ["lib/*.so", "/n/", { excludes: ["*", "lib/*", "!**/d.so"] }],
    ],
    makes: ["d n 755 0:0", "f n/b.so 644 0:0 =b.so", "f n/d.so 644 0:0 =lib/d.so"],
  },
  {
    name: "a directory among the sources",
    context: ["f docs/a", "f src/docs/b", "f src/c"],
    copies: [["*", "/n/", { excludes: ["docs"] }]],
    makes: ["d n 755 0:0", "f n/c 644 0:0 =src/c"],
  },
  {
    name: "a directory that is named, only by what is in it",
    context: ["f app/app", "f app/x"],
    copies: [["app", "/n/", { excludes: ["app"] }]],
    makes: ["d n 755 0:0", "f n/x 644 0:0 =app/x"],
  },
  {
    name: "a file that is named",
    context: ["f a", "f b"],
    copies: [
      ["a", "/n/", { excludes: ["a"] }],
      ["./b", "/n/", { excludes: ["a"] }],
    ],
    makes: ["d n 755 0:0", "f n/b 644 0:0 =b"],
  },
  {
    name: "an excluded directory",
    context: ["f d/a", "f d/sub/b"],
    copies: [["d", "/n", { excludes: ["sub"] }]],
    makes: ["d n 755 0:0", "f n/a 644 0:0 =d/a"],
  },
  {
    name: "excluded files at any depth",
    context: ["f d/a.o", "f d/s/b.o", "f d/s/c.c"],
    copies: [["d", "/n", { excludes: ["**/*.o"] }]],
    makes: ["d n 755 0:0", "d n/s 755 0:0", "f n/s/c.c 644 0:0 =d/s/c.c"],
  },
  {
    name: "all excluded but one",
    context: ["f d/a", "f d/sub/b", "f d/sub/c"],
    copies: [["d", "/n", { excludes: ["**", "!sub/b"] }]],
    makes: ["d n 755 0:0", "d n/sub 755 0:0", "f n/sub/b 644 0:0 =d/sub/b"],
  },
  {
    name: "an exclusion is relative to each source",
    context: ["f p/x", "f p/y", "f q/x"],
    copies: [["*", "/n/", { excludes: ["x"] }]],
    makes: ["d n 755 0:0", "f n/y 644 0:0 =p/y"],
  },

  // --parents.
  {
    name: "parents are kept below the destination",
    context: ["f a/b/c.txt", "f a/other"],
    copies: [["a/b/c.txt", "/n/", { parents: true }]],
    makes: ["d n 755 0:0", "d n/a 755 0:0", "d n/a/b 755 0:0", "f n/a/b/c.txt 644 0:0 =a/b/c.txt"],
  },
  {
    name: "parents behind the pivot only",
    context: ["f a/b/c.txt"],
    copies: [["a/./b/c.txt", "/n/", { parents: true }]],
    makes: ["d n 755 0:0", "d n/b 755 0:0", "f n/b/c.txt 644 0:0 =a/b/c.txt"],
  },
  {
    name: "parents keep the directories' modes",
    context: ["d a 711", "d a/b 700", "f a/b/c"],
    copies: [["a/b/c", "/n/", { parents: true }]],
    makes: ["d n 755 0:0", "d n/a 711 0:0", "d n/a/b 700 0:0", "f n/a/b/c 644 0:0 =a/b/c"],
  },
  {
    name: "parents with a star",
    context: ["f w/p/1", "f w/q/2"],
    copies: [["w/*/2", "/n/", { parents: true }]],
    makes: ["d n 755 0:0", "d n/w 755 0:0", "d n/w/q 755 0:0", "f n/w/q/2 644 0:0 =w/q/2"],
  },
  {
    name: "parents with two stars",
    context: ["f a/x.go", "f a/b/y.go", "f a/b/z.md"],
    copies: [["**/*.go", "/n/", { parents: true }]],
    makes: [
      "d n 755 0:0",
      "d n/a 755 0:0",
      "d n/a/b 755 0:0",
      "f n/a/b/y.go 644 0:0 =a/b/y.go",
      "f n/a/x.go 644 0:0 =a/x.go",
    ],
  },
  {
    name: "parents of a directory bring all it holds",
    context: ["f a/b/c", "f a/b/d/e", "f a/x"],
    copies: [["a/b", "/n/", { parents: true }]],
    makes: [
      "d n 755 0:0",
      "d n/a 755 0:0",
      "d n/a/b 755 0:0",
      "f n/a/b/c 644 0:0 =a/b/c",
      "d n/a/b/d 755 0:0",
      "f n/a/b/d/e 644 0:0 =a/b/d/e",
    ],
  },

  // Layers, whiteouts and opaque directories of the destination.
  {
    name: "a directory two layers down is copied up with its metadata",
    context: ["f a"],
    layers: [["d d 711 3:4", "d d/e 700 5:6"], ["f other"]],
    copies: [["a", "/d/e/"]],
    makes: ["d d 711 3:4", "d d/e 700 5:6", "f d/e/a 644 0:0 =a"],
  },
  {
    name: "a directory shows the metadata of its topmost layer",
    context: ["f a"],
    layers: [["d d 711 3:4"], ["d d 700 5:6"]],
    copies: [["a", "/d/"]],
    makes: ["d d 700 5:6", "f d/a 644 0:0 =a"],
  },
  {
    name: "a directory that was removed is made anew",
    context: ["f a"],
    layers: [["f d/old 600 1:1"], ["w d"]],
    copies: [["a", "/d/"]],
    makes: ["d d 755 0:0", "f d/a 644 0:0 =a"],
  },
  {
    name: "a file where a directory was removed",
    context: ["f a"],
    layers: [["f d/old"], ["w d"]],
    copies: [["a", "/d"]],
    makes: ["f d 644 0:0 =a"],
  },
  {
    name: "a symlink below an opaque directory is not there",
    context: ["f a"],
    layers: [["l d/l /real", "d real"], ["o d"]],
    copies: [["a", "/d/l/"]],
    makes: ["d d 755 0:0", "d d/l 755 0:0", "f d/l/a 644 0:0 =a"],
  },
  {
    name: "a file that hides a lower directory is a file",
    context: ["f a =new"],
    layers: [["f d/x"], ["f d =file"]],
    copies: [["a", "/d"]],
    makes: ["f d 644 0:0 =new"],
  },
  {
    name: "a directory that hides a lower file",
    context: ["f a"],
    layers: [["f d =file"], ["d d 711"]],
    copies: [["a", "/d/"]],
    makes: ["d d 711 0:0", "f d/a 644 0:0 =a"],
  },
];

describe.skipIf(SKIP_UNLESS_ROOT !== false)(
  `COPY${SKIP_UNLESS_ROOT === false ? "" : ` (skipped: ${SKIP_UNLESS_ROOT})`}`,
  () => {
    test.each(CASES)("copies $name", async ({ context = [], layers = [], copies, makes }) => {
      using bench = new FileBench();
      bench.plantContext(context);
      for (const layer of layers) bench.layer(layer);
      const actions = copies.map(([source, destination, changes]) => copyAction(source, destination, changes));
      expect(await bench.run(actions)).toEqual(makes);
    });

    test.each([
      {
        name: "a missing file",
        context: ["f a"],
        copy: ["b", "/x"],
        error: /Cannot copy "b" from .*context: it does not exist/,
      },
      {
        name: "a missing file in a directory",
        context: ["f d/a"],
        copy: ["d/zzz", "/x"],
        error: /Cannot copy "d\/zzz"/,
      },
      {
        name: "a wildcard in a missing directory",
        context: ["f a"],
        copy: ["nodir/*.txt", "/x/"],
        error: /Cannot copy "nodir"/,
      },
      { name: "a dangling symlink", context: ["l s nowhere"], copy: ["s", "/x"], error: /Cannot copy "s"/ },
      {
        name: "a dangling symlink found by a wildcard",
        context: ["l dang nowhere"],
        copy: ["dan*", "/x/"],
        error: /Cannot copy "dang"/,
      },
      { name: "a loop of symlinks", context: ["l a b", "l b a"], copy: ["a", "/x"], error: /too many symlinks/ },
      {
        name: "a file as a directory of the source",
        context: ["f a"],
        copy: ["a/b", "/x"],
        error: /"a" is not a directory/,
      },
      {
        name: "a directory onto a file",
        context: ["f d/a"],
        layer: ["f etc/passwd"],
        copy: ["d", "/etc/passwd"],
        error: /Cannot copy to "\/etc\/passwd": it is not a directory/,
      },
      {
        name: "a file into a file",
        context: ["f a"],
        layer: ["f etc/passwd"],
        copy: ["a", "/etc/passwd/"],
        error: /Cannot copy to "\/etc\/passwd": it is not a directory/,
      },
      {
        name: "a file below a file",
        context: ["f a"],
        layer: ["f etc/passwd"],
        copy: ["a", "/etc/passwd/zz"],
        error: /"passwd" is not a directory/,
      },
      {
        name: "a file onto a directory of its name",
        context: ["f f"],
        layer: ["d conf/f"],
        copy: ["f", "/conf"],
        error: /Cannot replace the directory "\/conf\/f" with a file/,
      },
      {
        name: "a directory onto a symlink inside",
        context: ["f d/x/a"],
        layer: ["d real", "l conf/x /real"],
        copy: ["d", "/conf"],
        error: /Cannot copy to "\/conf\/x": it is not a directory/,
      },
      {
        name: "a loop in the destination",
        context: ["f a"],
        layer: ["l x y", "l y x"],
        copy: ["a", "/x/z"],
        error: /too many symlinks/,
      },
      {
        name: "a missing path with --parents",
        context: ["f a"],
        copy: ["b/c", "/x/"],
        changes: { parents: true },
        error: /Cannot copy "b\/c"/,
      },
    ] as const)("refuses $name", async (given) => {
      using bench = new FileBench();
      bench.plantContext(given.context);
      if ("layer" in given) bench.layer(given.layer);
      const [source, destination] = given.copy;
      const action = copyAction(source, destination, "changes" in given ? given.changes : {});
      await expect(bench.run([action])).rejects.toThrow(given.error);
    });
  },
);
