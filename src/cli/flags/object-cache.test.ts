import { expect, test } from "vitest";
import { BuildError } from "../../../lib/core/errors.ts";
import { cacheNotices, cacheOptions } from "./cache.ts";

const read = (from: readonly string[], to: readonly string[] = []): ReturnType<typeof cacheOptions> =>
  cacheOptions({ from, to, mode: undefined, trust: [] });

test("attributes of S3 and of GitHub's service are read", () => {
  const s3 = "type=s3,bucket=b,region=r,name=a;b,touch_refresh=2h,upload_parallelism=8,use_path_style=true";
  const gha = "type=gha,scope=main,timeout=10m,version=2,mode=max,ignore-error=true,mounts=true";
  const { from, to } = read([s3], [gha]);
  expect(from).toMatchObject([{ kind: "s3", attributes: { bucket: "b", name: "a;b", touch_refresh: "7200000" } }]);
  expect(to).toMatchObject([
    { place: { kind: "gha", attributes: { timeout: "600000" } }, mode: "max", mounts: true, ignoreError: true },
  ]);
});

test.each([
  { text: "type=azblob,account_url=https://x,name=y", why: 'there is no cache of type "azblob"', hint: "azurecr.io" },
  { text: "type=gcs,bucket=x", why: 'there is no cache of type "gcs"', hint: "storage.googleapis.com" },
  { text: "type=redis", why: 'there is no cache of type "redis"', hint: "registry, local, inline, s3, gha" },
  { text: "type=s3,bucket=b,scope=x", why: 'there is no attribute "scope"', hint: "bucket" },
  { text: "type=s3,use_path_style=yes", why: "use_path_style is true or false", hint: undefined },
  { text: "type=s3,upload_parallelism=0", why: "upload_parallelism is a number", hint: undefined },
  { text: "type=s3,touch_refresh=soon", why: "touch_refresh is a duration", hint: "24h" },
  { text: "type=gha,timeout=0", why: "timeout is a duration", hint: "10m" },
  { text: "type=gha,version=3", why: "version is 1 or 2", hint: undefined },
])("$text: $why", ({ text, why, hint }) => {
  for (const attempt of [() => read([text]), () => read([], [text])]) {
    expect(attempt).toThrow(why);
    if (hint !== undefined)
      expect(() => attempt()).toThrow(expect.objectContaining({ hint: expect.stringContaining(hint) as unknown }));
  }
});

test.each([
  "type=s3,secret_access_key=TOPSECRET,x=y",
  'type=s3,"secret_access_key=TOPSECRET,TOPSECRET",x=y',
  "type=s3,session_token=TOPSECRET,x=y",
  "type=gha,Token = TOPSECRET,x=y",
  "type=gha,ghtoken=TOPSECRET,x=y",
  "type=azblob,secret_access_key=TOPSECRET",
])("an error about %s has no secret in it", (text) => {
  try {
    read([text]);
    expect.unreachable();
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    expect(`${error.message} ${error.hint}`).not.toContain("TOPSECRET");
    expect(error.message).toContain("***");
  }
});

test("attributes without effect are told", () => {
  const said = cacheNotices({
    cacheFrom: ["type=gha,ghtoken=TOPSECRET,repository=a/b"],
    cacheTo: ["type=s3,retry_mode=standard"],
  });
  expect(said).toHaveLength(3);
  expect(said.join()).not.toContain("TOPSECRET");
});
