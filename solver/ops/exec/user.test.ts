import { expect, test } from "vitest";
import { caught } from "../../runtime/testing.ts";
import { resolveUser } from "./user.ts";

const PASSWD = `# comment
root:x:0:0:root:/root:/bin/sh
www-data:x:33:33:www:/var/www:/usr/sbin/nologin
1000:x:77:78:a user named like a number:/home/odd:/bin/sh
bob:x:1001:1001::/home/bob:/bin/sh
nohome:x:1002:1002:::
broken:x:abc:1::/:
large:x:2147483648:1::/:
`;
const GROUP = `root:x:0:
www-data:x:33:
docker:x:500:bob,alice
audio:x:501:bob
audio2:x:501:bob
27:x:502:
`;

test.each([
  { name: "an empty text", user: "", uid: 0, gid: 0, supplementary: [], home: "/root" },
  { name: "a name", user: "www-data", uid: 33, gid: 33, supplementary: [], home: "/var/www" },
  {
    name: "a name in other groups",
    user: "bob",
    uid: 1001,
    gid: 1001,
    supplementary: [500, 501],
    home: "/home/bob",
  },
  { name: "a name with a group", user: "bob:docker", uid: 1001, gid: 500, supplementary: [], home: "/home/bob" },
  {
    name: "a name with an empty group",
    user: "bob:",
    uid: 1001,
    gid: 1001,
    supplementary: [500, 501],
    home: "/home/bob",
  },
  { name: "a number with an entry", user: "1001", uid: 1001, gid: 1001, supplementary: [500, 501], home: "/home/bob" },
  { name: "a number without an entry", user: "4242", uid: 4242, gid: 0, supplementary: [], home: "/" },
  {
    name: "two large numbers",
    user: "2147483648:4294967294",
    uid: 2147483648,
    gid: 4294967294,
    supplementary: [],
    home: "/",
  },
  { name: "two numbers", user: "4242:4343", uid: 4242, gid: 4343, supplementary: [], home: "/" },
  { name: "a number that is another user's name", user: "1000", uid: 1000, gid: 0, supplementary: [], home: "/" },
  {
    name: "a number that is another group's name",
    user: "bob:27",
    uid: 1001,
    gid: 27,
    supplementary: [],
    home: "/home/bob",
  },
  { name: "a number with a sign and zeros", user: "+033", uid: 33, gid: 33, supplementary: [], home: "/var/www" },
  { name: "a user without a home", user: "nohome", uid: 1002, gid: 1002, supplementary: [], home: "/" },
])("resolves $name", ({ user, uid, gid, supplementary, home }) => {
  expect(resolveUser(user, PASSWD, GROUP)).toEqual({ uid, gid, supplementary, home });
});

test("a number needs neither file", () => {
  expect(resolveUser("12:34", undefined, undefined)).toEqual({ uid: 12, gid: 34, supplementary: [], home: "/" });
});

test.each([
  { name: "an unknown user", user: "carol", message: "Unable to find user carol: no matching entries in passwd file" },
  {
    name: "an unknown group",
    user: "bob:nope",
    message: "Unable to find group nope: no matching entries in group file",
  },
  {
    name: "a malformed entry",
    user: "broken",
    message: "Unable to find user broken: no matching entries in passwd file",
  },
  {
    name: "a number that no engine runs",
    user: "2147483648",
    message: "Cannot run as 2147483648:1: uids and gids must be in range 0-2147483647",
  },
  {
    name: "a user that no engine runs",
    user: "large",
    message: "Cannot run as 2147483648:1: uids and gids must be in range 0-2147483647",
  },
  {
    name: "an id the kernel cannot hold",
    user: "4294967295",
    message: "Cannot run as 4294967295: uids and gids must be in range 0-2147483647",
  },
  {
    name: "an id below zero",
    user: "-1",
    message: "Cannot run as -1: uids and gids must be in range 0-2147483647",
  },
  {
    name: "a group that the kernel cannot hold",
    user: "bob:4294967296",
    message: "Cannot run as group 4294967296: uids and gids must be in range 0-2147483647",
  },
])("$name is an error", ({ user, message }) => {
  expect(caught(() => resolveUser(user, PASSWD, GROUP))).toMatchObject({ code: "runtime/failed", message });
});
