import { describe, expect, test } from "vitest";
import { findHome, userStore } from "./home.ts";

describe("the home directory", () => {
  test.each([
    { name: "is $HOME", env: { HOME: "/home/me" }, uid: 4_242_424, home: "/home/me" },
    { name: "is looked up where $HOME is empty", env: { HOME: "" }, uid: 0, home: "/root" },
    { name: "is looked up where $HOME is relative", env: { HOME: "here" }, uid: 0, home: "/root" },
    {
      name: "is that of the user before the launcher made them root",
      env: { KILN_ROOTLESS: "1" },
      uid: 0,
      home: "/usr/sbin",
    },
    { name: "is none for an id without a name", env: { KILN_ROOTLESS: "4242424" }, uid: 0, home: undefined },
  ])("$name", ({ env, uid, home }) => {
    expect(findHome(env, uid)).toBe(home);
  });
});

describe("the store of a plain user", () => {
  const user = { uid: 1000, env: {}, homeDirectory: "/home/me", temporaryDirectory: "/tmp" };
  test.each([
    { name: "is in the home", user, writable: ["/home"], root: "/home/me/.local/share/kiln", isTold: false },
    {
      name: "is where XDG_DATA_HOME says",
      user: { ...user, env: { XDG_DATA_HOME: "/data" } },
      writable: [],
      root: "/data/kiln",
      isTold: false,
    },
    {
      name: "is in $XDG_RUNTIME_DIR where the home takes nothing",
      user: { ...user, env: { XDG_RUNTIME_DIR: "/run/user/1000" } },
      writable: ["/run", "/tmp"],
      root: "/run/user/1000/kiln-1000",
      isTold: true,
    },
    {
      name: "is with the temporary files where there is no home",
      user: { ...user, homeDirectory: "/" },
      writable: ["/tmp"],
      root: "/tmp/kiln-1000",
      isTold: true,
    },
    {
      name: "has the number of the user before the launcher made them root",
      user: { ...user, uid: 0, env: { KILN_ROOTLESS: "77" } },
      writable: ["/tmp"],
      root: "/tmp/kiln-77",
      isTold: true,
    },
    {
      name: "stays in the home where nothing can be made anywhere",
      user,
      writable: [],
      root: "/home/me/.local/share/kiln",
      isTold: false,
    },
  ])("$name", ({ user: one, writable, root, isTold }) => {
    const canMake = (path: string): boolean => writable.some((directory) => path.startsWith(`${directory}/`));
    const found = userStore(one, canMake);
    expect(found.root).toBe(root);
    expect(found.notice !== undefined).toBe(isTold);
  });
});
