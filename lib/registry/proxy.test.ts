import { expect, test } from "vitest";
import { proxyFor } from "./proxy.ts";

const settings = { http: "http://proxy:3128", https: "secure:8443" };

test.each([
  { name: "plain", url: "http://a.example/x", noProxy: "", goes: "http://proxy:3128/" },
  { name: "TLS, a proxy without a scheme", url: "https://a.example", noProxy: "", goes: "http://secure:8443/" },
  { name: "this machine", url: "http://localhost:5000/v2/", noProxy: "", goes: undefined },
  { name: "this machine by address", url: "http://127.0.0.1:5000/v2/", noProxy: "", goes: undefined },
  { name: "all", url: "http://a.example", noProxy: "*", goes: undefined },
  { name: "the name", url: "http://a.example", noProxy: "b,A.example", goes: undefined },
  { name: "below the name", url: "http://x.a.example", noProxy: "a.example", goes: undefined },
  { name: "a name that only ends so", url: "http://xa.example", noProxy: "a.example", goes: "http://proxy:3128/" },
  { name: "below a dot", url: "http://x.a.example", noProxy: ".a.example", goes: undefined },
  {
    name: "not the name itself, with a dot",
    url: "http://a.example",
    noProxy: ".a.example",
    goes: "http://proxy:3128/",
  },
  { name: "a star and a dot", url: "http://x.a.example", noProxy: "*.a.example", goes: undefined },
  { name: "the port", url: "http://a.example:81", noProxy: "a.example:81", goes: undefined },
  { name: "another port", url: "http://a.example", noProxy: "a.example:81", goes: "http://proxy:3128/" },
  { name: "the port of the scheme", url: "https://a.example", noProxy: "a.example:443", goes: undefined },
  { name: "an address", url: "http://10.1.2.3", noProxy: "10.1.2.3", goes: undefined },
  { name: "a range", url: "http://10.1.2.3", noProxy: "10.0.0.0/8", goes: undefined },
  { name: "outside a range", url: "http://11.1.2.3", noProxy: "10.0.0.0/8", goes: "http://proxy:3128/" },
  { name: "socks", url: "http://a.example", noProxy: "", goes: "socks5://proxy:1080", http: "socks5h://proxy:1080" },
  { name: "a range of the other family", url: "http://[fd00::1]", noProxy: "10.0.0.0/8,fd00::/8", goes: undefined },
])("$name: $url with NO_PROXY=$noProxy", ({ url, noProxy, goes, http = settings.http }) => {
  expect(proxyFor(new URL(url), { ...settings, http, noProxy })?.href).toBe(goes);
});

test("a percent sign in a proxy's account that escapes nothing means itself", () => {
  const account = (proxy: string): unknown => proxyFor(new URL("http://a.example"), { http: proxy })?.href;
  expect(account("http://me:50%@proxy:1")).toBe("http://me:50%25@proxy:1/");
  expect(account("http://me:a%40b@proxy:1")).toBe("http://me:a%40b@proxy:1/");
});

test.each([":8080", "ftp://proxy:21", "http://", "proxy host:1"])("%j is no proxy, and that is told", (https) => {
  const read = (): unknown => proxyFor(new URL("https://a.example"), { https });
  expect(read).toThrow('Cannot reach "a.example": HTTPS_PROXY names no proxy');
});
