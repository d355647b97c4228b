import { expect, test } from "vitest";
import { SourceText } from "../../../lib/core/span.ts";
import { evaluateDefinition } from "../definition.ts";
import { parseHcl } from "../hcl/parse.ts";

const HOST = {
  lookup: () => undefined,
  builtin: new Map<string, string>(),
  nowMs: () => 0,
  uuid: () => "u",
  homeDirectory: "/home/me",
};

// Results of docker buildx bake 0.29.
test.each([
  ['sanitize("a.b/c")', "a_b_c"],
  ['regex_replace("abc", "(b)", "<$1>")', "a<b>c"],
  ['jsonencode(regex("(\\\\w)(\\\\d)", "a1"))', '["a","1"]'],
  ['formatdate("YYYY-MM-DD", "2020-01-02T03:04:05Z")', "2020-01-02"],
  ['timeadd("2020-01-02T03:04:05Z","1h10m")', "2020-01-02T04:14:05Z"],
  ['jsonencode(setproduct(["a","b"],["c"]))', '[["a","c"],["b","c"]]'],
  ['cidrsubnet("10.0.0.0/8",8,2)', "10.2.0.0/16"],
  ['cidrhost("10.0.0.0/8", 5)', "10.0.0.5"],
  ['title("hello world")', "Hello World"],
  ['indent(2, "a\\nb")', "a\n  b"],
  ['uuidv5("dns","x.y")', "b0e7d13f-3549-5b81-8920-1afe47f5feee"],
  ["homedir()", "/home/me"],
  ['formattimestamp("X", "2020-01-02T03:04:05+01:00")', "1577930645"],
  ['formattimestamp("X", 1700000000)', "1700000000"],
  ['formattimestamp("YYYY-MM-DD", 1700000000)', "2023-11-14"],
  ["unixtimestampparse(1690328596).rfc3339", "2023-07-25T23:43:16Z"],
  ['jsonencode([for m in ["iso_year", "iso_week", "year_day"] : unixtimestampparse(1609459200)[m]])', "[2020,53,1]"],
  ['join("", regexall("^[$]2a[$]04[$]", bcrypt("x", 4)))', "$2a$04$"],
  ['substr("héllo", 1, 3)', "éll"],
  ['strlen("héllo")', "5"],
  ['jsonencode(csvdecode("a,b\\n1,2"))', '[{"a":"1","b":"2"}]'],
  ["jsonencode(range(3))", "[0,1,2]"],
  ["log(8,2)", "3"],
  ['parseint("ff", 16)', "255"],
  ['jsonencode(chunklist(["a","b","c"],2))', '[["a","b"],["c"]]'],
  ['jsonencode(merge({a=1},{b="x"}))', '{"a":1,"b":"x"}'],
  ['urlencode("a b&c")', "a+b%26c"],
  ['jsonencode(zipmap(["a"],["b"]))', '{"a":"b"}'],
  ['jsonencode(flatten([["a"],["b",["c"]]]))', '["a","b","c"]'],
  ['jsonencode(formatlist("%s-x", ["a","b"]))', '["a-x","b-x"]'],
  ['jsonencode(setunion(["b"],["a"]))', '["a","b"]'],
  ['basename("/a/b")', "b"],
  ['dirname("/a/b/")', "/a/b"],
  ['jsonencode(split(",", "a,b"))', '["a","b"]'],
  ['jsonencode(convert("1", number))', "1"],
  ['coalesce(null, "x")', "x"],
  ['element(["a","b"], 3)', "b"],
  ['index(["a"],0)', "a"],
  ['indexof(["a","b"], "b")', "1"],
  ['trim("xxaxx","x")', "a"],
  ['jsonencode(cidrsubnets("10.0.0.0/8", 4, 4))', '["10.0.0.0/12","10.16.0.0/12"]'],
  ["jsonencode(values({b=1,a=2}))", "[2,1]"],
  ['jsonencode(lookup({a="1"}, "b", "z"))', '"z"'],
  ['jsonencode(slice(["a","b","c"],1,2))', '["b"]'],
  ['jsonencode(sort(["b","a"]))', '["a","b"]'],
  ['jsonencode(distinct(["a","a"]))', '["a"]'],
  ['jsonencode(compact(["","a"]))', '["a"]'],
  ['jsonencode(regexall("[a-z]","a1b"))', '["a","b"]'],
  ['jsonencode(setsubtract(["a","b"],["a"]))', '["b"]'],
  ['reverse("abc")', "cba"],
  ['jsonencode(reverselist(["a","b"]))', '["b","a"]'],
  ['md5("a")', "0cc175b9c0f1b6a831c399e269772661"],
  ['base64encode("a")', "YQ=="],
])("%s is %s", (expression, expected) => {
  const body = parseHcl(new SourceText("x.hcl", `target "t" { target = ${expression} }`));
  expect(evaluateDefinition([body], HOST).targets[0]?.fields.get("target")).toBe(expected);
});

test("the clock and chance come from outside", () => {
  const body = parseHcl(new SourceText("x.hcl", 'target "t" { tags = [timestamp(), uuidv4()] }'));
  expect(evaluateDefinition([body], HOST).targets[0]?.fields.get("tags")).toEqual(["1970-01-01T00:00:00Z", "u"]);
});
