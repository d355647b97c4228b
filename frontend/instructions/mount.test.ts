import { expect, test } from "vitest";
import { SourceText } from "../../lib/core/span.ts";
import { type MountSpec, parseMountFlag } from "./mount.ts";

const source = new SourceText("Dockerfile", "RUN --mount=x a");

const parse = (text: string): MountSpec =>
  parseMountFlag({ text, from: undefined, span: source.span(4, 13) }, (value) => value.replaceAll("$v", "expanded"));

test.each<{ text: string; is: Partial<MountSpec> }>([
  { text: "target=/a", is: { type: "bind", target: "/a", mode: "ro", required: false } },
  { text: "type=bind,source=/s,dst=/a,rw", is: { source: "/s", target: "/a", mode: "rw" } },
  { text: "src=$v,destination=/$v", is: { source: "expanded", target: "/expanded" } },
  { text: "TYPE=cache,Target=/a", is: { type: "cache", mode: "rw", sharing: undefined } },
  { text: "type=cache,target=/a,ro", is: { mode: "ro" } },
  { text: "type=cache,target=/a,readonly=false", is: { mode: "rw" } },
  { text: "type=cache,target=/a,readwrite=0", is: { mode: "ro" } },
  { text: "type=cache,target=/a,sharing=locked,id=x", is: { sharing: "locked", id: "x" } },
  { text: "type=cache,target=/a,mode=0700,uid=1,gid=2", is: { permissions: 0o700, uid: 1, gid: 2 } },
  { text: "type=tmpfs,target=/a,size=64m", is: { mode: "rw", sizeBytes: 64 * 1024 ** 2 } },
  { text: "type=tmpfs,target=/a,size=1.5 GiB", is: { sizeBytes: 1.5 * 1024 ** 3 } },
  { text: "type=tmpfs,target=/a,size=100", is: { sizeBytes: 100 } },
  { text: "type=secret,id=a,required", is: { id: "a", required: true, mode: "ro" } },
  { text: "type=secret,id=a,required=false", is: { required: false } },
  { text: "type=secret,id=a,env=A", is: { env: "A", target: undefined } },
  { text: "type=ssh", is: { type: "ssh", id: undefined } },
  { text: 'type=bind,"source=a,b",target=/a', is: { source: "a,b" } },
  { text: "from=base,target=/a", is: { from: "base" } },
  { text: "type=BIND,target=/a", is: { type: "bind" } },
  { text: "type=Cache,target=/a,sharing=LOCKED", is: { type: "cache", sharing: "locked" } },
])("reads $text", ({ text, is }) => {
  expect(parse(text)).toMatchObject(is);
});

test.each([
  { text: "type=bnid", message: 'unsupported mount type "bnid" (did you mean "bind"?)' },
  { text: "type=$v", message: 'unsupported mount type "expanded"' },
  { text: "type=cache,target=/a,sharing=lock", message: 'unsupported sharing value "lock"' },
  { text: "taget=/a", message: `unexpected key 'taget' in 'taget=/a' (did you mean "target"?)` },
  { text: "target", message: "invalid field 'target' must be a key=value pair" },
  { text: "required,type=secret,id=a", message: "unexpected key 'required' for mount type 'bind'" },
  { text: "required=true", message: "unexpected key 'required' for mount type 'bind'" },
  { text: "size=1m", message: "unexpected key 'size' for mount type 'bind'" },
  { text: "type=tmpfs,size=1x", message: "invalid value for size: 1x" },
  { text: "type=tmpfs,size=-1", message: "invalid value for size: -1" },
  { text: "ro=yes", message: "invalid value for ro: yes" },
  { text: "type=cache,mode=9", message: "invalid value 9 for mode" },
  { text: "type=cache,uid=-1", message: "invalid value -1 for uid" },
  { text: "type=cache,gid=4294967296", message: "invalid value 4294967296 for gid" },
  { text: "mode=0700", message: 'mode not allowed for "bind" type mounts' },
  { text: "type=tmpfs,source=a", message: "unexpected key 'source' for mount type 'tmpfs'" },
  { text: "type=tmpfs,uid=1", message: 'uid not allowed for "tmpfs" type mounts' },
  { text: "sharing=shared", message: "invalid cache sharing set for bind mount" },
  { text: "type=secret", message: "invalid secret mount. one of source, target required" },
  { text: "type=secret,from=a,id=b", message: "secret mount should not have a from" },
  { text: "type=secret,id=a,env=", message: "the secret's env= has no name" },
  { text: "type=secret,source=a,id=b", message: "both source and id can't be set" },
  { text: "", message: "failed to parse csv mounts: EOF" },
  { text: 'a"b', message: 'failed to parse csv mounts: parse error on line 1, column 2: bare " in non-quoted-field' },
  { text: '"a"b', message: 'failed to parse csv mounts: parse error on line 1, column 3: extraneous or missing "' },
])("refuses $text", ({ text, message }) => {
  expect(() => parse(text)).toThrow(message);
  expect(() => parse(text)).toThrow(expect.objectContaining({ code: "dockerfile/mount" }));
});
