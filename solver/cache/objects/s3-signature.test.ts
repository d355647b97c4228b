import { expect, test } from "vitest";
import { objectUrl, signedHeaders } from "./s3-signature.ts";

const EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
// The examples of https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
const credentials = {
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};
const when = { region: "us-east-1", atMs: Date.UTC(2013, 4, 24) };
const base = new URL("https://examplebucket.s3.amazonaws.com");

test.each([
  {
    what: "GET of a part",
    method: "GET",
    url: objectUrl(base, "test.txt"),
    headers: { range: "bytes=0-9" },
    bodyHex: EMPTY,
    signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
  },
  {
    what: "PUT",
    method: "PUT",
    url: objectUrl(base, "test$file.text"),
    headers: { date: "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY" },
    bodyHex: "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
    signature: "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
  },
  {
    what: "GET with a query without a value",
    method: "GET",
    url: objectUrl(base, "", { lifecycle: "" }),
    headers: {},
    bodyHex: EMPTY,
    signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
  },
  {
    what: "GET with a query",
    method: "GET",
    url: objectUrl(base, "", { prefix: "J", "max-keys": "2" }),
    headers: {},
    bodyHex: EMPTY,
    signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
  },
])("$what has Amazon's own signature", ({ method, url, headers, bodyHex, signature }) => {
  const { authorization } = signedHeaders({ method, url, headers, bodyHex }, credentials, when);
  expect(authorization).toContain(`Signature=${signature}`);
});

test("names are encoded as they are signed", () => {
  const url = objectUrl(new URL("http://127.0.0.1:9000/b"), "a b/ü/(1)*!'~:+.json", { uploadId: "x/y+=" });
  expect(url.href).toBe("http://127.0.0.1:9000/b/a%20b/%C3%BC/%281%29%2A%21%27~%3A%2B.json?uploadId=x%2Fy%2B%3D");
});
