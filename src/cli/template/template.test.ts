import { expect, test } from "vitest";
import { compileTemplate } from "./template.ts";
import { type Value, mapOf, structOf } from "./value.ts";

const image: Value = {
  Id: "sha256:34d4",
  RepoTags: ["a:1", "b:2", "c:3"],
  Os: "linux",
  Size: 1_984_172,
  Empty: "",
  Nothing: null,
  Missing: undefined,
  Config: { Env: ["A=1", "B=2"], Cmd: ["sh", "-c"], Labels: mapOf({ b: "2", a: "1" }), Entrypoint: [] },
  RootFS: structOf({ Type: "layers", Layers: ["sha256:d711"] }),
};

// Each right side was printed by docker 28.5 or by Go's text/template for the same value.
test.each([
  ["{{.Id}}", "sha256:34d4"],
  ["{{.ID}}", "sha256:34d4"],
  ["a {{.Os}} b", "a linux b"],
  ["{{.Config.Env}}", "[A=1 B=2]"],
  ["{{.Config.Labels}}", "map[a:1 b:2]"],
  ["{{.Config.Labels.a}} {{.Config.Labels.no}}", "1 <no value>"],
  ['{{index .Config.Labels "a"}}|{{index .Config.Labels "no"}}|', "1||"],
  ["{{index .RepoTags 1}}", "b:2"],
  ["{{(index .RepoTags 1)}}", "b:2"],
  ["{{.RootFS}}", "{layers [sha256:d711]}"],
  ["{{json .RootFS}}", '{"Type":"layers","Layers":["sha256:d711"]}'],
  ["{{json .Config.Labels}}", '{"a":"1","b":"2"}'],
  ["{{json .Nothing}}", "null"],
  ["{{.Nothing}} {{.Missing}}", "<nil> <no value>"],
  ['{{len .RepoTags}} {{printf "%q %5d|%-5s|" .Os 3 "a"}}', '3 "linux"     3|a    |'],
  ["{{.Size}}", "1984172"],
  ["{{println .Os}}", "linux\n"],
  ['{{join .Config.Cmd " "}}', "sh -c"],
  ["{{range $i, $e := .Config.Env}}{{$i}}={{$e}};{{end}}", "0=A=1;1=B=2;"],
  ["{{range .Config.Env}}<{{.}}>{{else}}none{{end}}", "<A=1><B=2>"],
  ["{{range .Config.Entrypoint}}<{{.}}>{{else}}none{{end}}", "none"],
  ["{{range $k, $v := .Config.Labels}}{{$k}}:{{$v}} {{end}}", "a:1 b:2 "],
  ["{{range 3}}{{.}}{{end}}", "012"],
  ['{{range .RepoTags}}{{if eq . "b:2"}}{{continue}}{{end}}{{.}} {{end}}', "a:1 c:3 "],
  ['{{range .RepoTags}}{{if eq . "b:2"}}{{break}}{{end}}{{.}} {{end}}', "a:1 "],
  ['{{split .Os "n"}}', "[li ux]"],
  ["{{title .Os}} {{pad .Os 1 2}}| {{truncate .Os 2}}", "Linux  linux  | li"],
  ['{{.Os | upper | printf "%s!"}}', "LINUX!"],
  ["{{if .Empty}}full{{else if .Os}}os{{else}}none{{end}}", "os"],
  ["{{with .Config}}{{.Cmd}} {{$.Os}}{{end}}", "[sh -c] linux"],
  ["{{with .Empty}}x{{else with .Os}}{{.}}{{end}}", "linux"],
  ["{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"],
  ["{{$x := 1}}{{if true}}{{$x := 2}}{{end}}{{$x}}", "1"],
  ["a  {{- .Os -}}  b", "alinuxb"],
  ["a {{/* nothing */}} b", "a  b"],
  ["a {{- /* nothing */ -}} b", "ab"],
  ["{{if and .Os (eq .Size 1984172)}}yes{{end}}", "yes"],
  ["{{or .Empty .Os}} {{and .Empty .Os}}|", "linux |"],
  ["{{and .Nothing .Nothing.Deep}}", "<nil>"],
  ['{{not .Empty}} {{lt 1 2}} {{ge .Size 5}} {{ne .Os "x"}} {{eq .Os "a" "linux"}}', "true true true true true"],
  ["{{slice .RepoTags 1 2}} {{slice .Os 1 3}}", "[b:2] in"],
  ["{{print 1 2 .Os .Os}} {{print 1 true}}", "1 2linuxlinux 1 true"],
  ['{{printf "%v %s %d%%" .RepoTags .Os 5}}', "[a:1 b:2 c:3] linux 5%"],
  ['{{printf "%05d|%x|%X|%+d|%.2f|%t|%8.3s|" 42 255 255 3 1.5 true .Os}}', "00042|ff|FF|+3|1.50|true|     lin|"],
  ['{{printf "%d" .Os}} {{printf "%s"}} {{printf "a" 1}}', "%!d(string=linux) %!s(MISSING) a%!(EXTRA int=1)"],
  ['{{html "<a>&\'"}}', "&lt;a&gt;&amp;&#39;"],
  ['{{urlquery "a b/c"}}', "a+b%2Fc"],
  ['{{"tab\\t\\u00e9\\x41"}}{{`raw\\n`}}', "tab\téAraw\\n"],
  ["{{'a'}} {{0x1F}} {{1_000}} {{-3}}", "97 31 1000 -3"],
  ['{{define "t"}}<{{.}}>{{end}}{{template "t" .Os}}', "<linux>"],
  ['{{block "t" .Os}}[{{.}}]{{end}}', "[linux]"],
  ["{{len .Config.Labels}} {{len .Os}}", "2 5"],
  ['{{lower "ABC"}}{{true}}{{false}}', "abctruefalse"],
  ["no actions } }}", "no actions } }}"],
  ["{{.Os}}\n{{.Os}}", "linux\nlinux"],
])("writes %j", (text, expected) => {
  expect(compileTemplate(text).render(image)).toBe(expected);
});

test.each([
  ["{{.Foo}}", /there is no field Foo \(column 3\)/],
  ["{{.Foo.Bar}}", /there is no field Foo/],
  ["{{.Os.Foo}}", /string has no field Foo/],
  ["{{.ID", /an action does not end/],
  ["{{foo .ID}}", /the function "foo" is not defined/],
  ["{{index .RepoTags 5}}", /index out of range: 5/],
  ["{{if .Os}}", /{{if}} has no {{end}}/],
  ["{{end}}", /{{end}} closes nothing/],
  ["{{else}}", /{{else}} closes nothing/],
  ["{{$x}}", /variable \$x is not defined/],
  ["{{range .Os}}{{end}}", /range cannot go over string/],
  ["{{break}}", /only for use inside/],
  ['{{"abc}}', /a string does not end/],
  ["{{.Os .Id}}", /takes no arguments/],
  ["{{join .Os}}", /wants a list|wants 2/],
  ["{{lt .Os 1}}", /cannot be compared/],
  ["{{}}", /a value is missing/],
  ["{{.Os | }}", /a value is missing/],
  ["{{(.Os}}", /parenthesis is not closed/],
  ["{{/* x }}", /comment does not end/],
  ["{{ ! }}", /"!" does not belong here/],
  ['{{template "no"}}', /template "no" is not defined/],
  ['{{define "a"}}{{template "a"}}{{end}}{{template "a"}}', /call each other without end/],
  ["line\n{{.Foo}}", /line 2, column 3/],
  ["{{if true}}".repeat(300), /nested too deeply/],
  [`{{${"(".repeat(5000)}}}`, /nested too deeply/],
])("refuses %j", (text, message) => {
  expect(() => compileTemplate(text).render(image)).toThrow(message);
});

test("names the fields that there are", () => {
  expect(() => compileTemplate("{{.RootFS.Sizes}}").render(image)).toThrow(
    expect.objectContaining({ code: "cli/template", hint: "fields here: .Type .Layers" }),
  );
});

test("serves any number of rows", () => {
  const template = compileTemplate("{{$x := .A}}{{$x}};");
  expect([1, 2].map((number) => template.render({ A: number })).join("")).toBe("1;2;");
});
