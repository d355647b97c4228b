import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readS3Settings } from "./s3-settings.ts";

describe("settings of S3", () => {
  let home = "";
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "kiln-aws-"));
    await mkdir(join(home, ".aws"));
    await writeFile(
      join(home, ".aws/credentials"),
      "[default]\naws_access_key_id = file\naws_secret_access_key=s=1\n[other]\naws_access_key_id=o\naws_secret_access_key=t\n",
    );
    await writeFile(
      join(home, ".aws/config"),
      "# x\n[default]\nregion = eu-west-1\ns3 =\n  region = no\n[profile other]\nregion=r2\n",
    );
  });
  afterAll(async () => rm(home, { recursive: true, force: true }));

  const read = async (attributes: Record<string, string>, env: Record<string, string> = {}): Promise<unknown> =>
    readS3Settings({ kind: "s3", attributes }, { env, homeDirectory: home });
  const keys = { AWS_ACCESS_KEY_ID: "id", AWS_SECRET_ACCESS_KEY: "secret", AWS_SESSION_TOKEN: "token" };

  test.each([
    { why: "the files", attributes: { bucket: "b" }, env: {}, region: "eu-west-1", id: "file" },
    { why: "a profile", attributes: { bucket: "b" }, env: { AWS_PROFILE: "other" }, region: "r2", id: "o" },
    { why: "variables", attributes: { bucket: "b" }, env: { ...keys, AWS_REGION: "r" }, region: "r", id: "id" },
    {
      why: "attributes",
      attributes: { bucket: "b", region: "a", access_key_id: "own", secret_access_key: "s" },
      env: { ...keys, AWS_REGION: "r" },
      region: "a",
      id: "own",
    },
  ])("come from $why", async ({ attributes, env, region, id }) => {
    expect(await read(attributes, env)).toMatchObject({ region, credentials: { accessKeyId: id } });
  });

  test.each([
    { attributes: {}, url: "https://b.s3.eu-west-1.amazonaws.com/" },
    { attributes: { region: "cn-north-1" }, url: "https://b.s3.cn-north-1.amazonaws.com.cn/" },
    { attributes: { bucket: "a.b" }, url: "https://s3.eu-west-1.amazonaws.com/a.b" },
    { attributes: { endpoint_url: "https://minio.example:9000" }, url: "https://b.minio.example:9000/" },
    { attributes: { endpoint_url: "https://minio.example/", use_path_style: "true" }, url: "https://minio.example/b" },
    { attributes: { endpoint_url: "http://127.0.0.1:9000" }, url: "http://127.0.0.1:9000/b" },
    { attributes: { endpoint_url: "http://[::1]:9000" }, url: "http://[::1]:9000/b" },
    { attributes: { endpoint_url: "http://localhost:9000/s3" }, url: "http://localhost:9000/s3/b" },
  ])("$attributes lead to $url", async ({ attributes, url }) => {
    const settings = await readS3Settings(
      { kind: "s3", attributes: { bucket: "b", ...attributes } },
      { env: {}, homeDirectory: home },
    );
    expect(settings.base.href).toBe(url);
  });

  test.each([
    { attributes: {}, env: {}, why: "the bucket is not named" },
    { attributes: { bucket: "a/b" }, env: {}, why: "no name of a bucket" },
    { attributes: { bucket: "b", region: "x.example/" }, env: {}, why: "no region" },
    { attributes: { bucket: "b", prefix: "../x/" }, env: {}, why: "a part . or .." },
    { attributes: { bucket: "b", endpoint_url: "minio:9000" }, env: {}, why: "no URL of a server" },
    { attributes: { bucket: "b", endpoint_url: "https://u:p@minio" }, env: {}, why: "no URL of a server" },
    { attributes: { bucket: "b", access_key_id: "x" }, env: {}, why: "only one half" },
    { attributes: { bucket: "b" }, env: { AWS_PROFILE: "none", AWS_REGION: "r" }, why: "no credentials" },
  ])("$attributes: $why", async ({ attributes, env, why }) => {
    await expect(read(attributes, env as Record<string, string>)).rejects.toThrow(why);
  });
});
