import fc from "fast-check";
import { expect, test } from "vitest";
import { GROUP_SIZE } from "../../solver/graph/op.ts";
import { Environment } from "./environment.ts";

function filled(count: number): Environment {
  const environment = new Environment();
  for (let n = 0; n < count; n += 1) environment.setEnv(`V${n}`, "0");
  return environment;
}

test("a variable that changes makes one new group, and what was given out stays as it was", () => {
  const environment = filled(3 * GROUP_SIZE);
  const before = environment.groups();
  environment.setEnv(`V${GROUP_SIZE}`, "1");
  const after = environment.groups();
  expect(after.map((group, index) => group === before[index])).toEqual([true, false, true]);
  expect(before.flat()[GROUP_SIZE]).toBe(`V${GROUP_SIZE}=0`);
  expect(after.flat()[GROUP_SIZE]).toBe(`V${GROUP_SIZE}=1`);
});

test("setting a variable to what it is changes nothing", () => {
  const environment = filled(2);
  const before = environment.groups();
  environment.setEnv("V1", "0");
  expect(environment.groups()).toBe(before);
});

test("a stage on another one shares its groups and changes only its own", () => {
  const below = filled(GROUP_SIZE + 1);
  const above = new Environment(below);
  above.setEnv("V0", "1");
  expect(above.groups()[1]).toBe(below.groups()[1]);
  expect([below.get("V0"), above.get("V0")]).toEqual(["0", "1"]);
  expect(below.groups().flat()[0]).toBe("V0=0");
});

test("an ARG's summary follows what ENV sets later, also in the stage above", () => {
  const environment = new Environment();
  environment.declareArg("A", "1");
  environment.declareArg("B", undefined);
  environment.declareArg("C", "3", "text");
  expect(environment.argSummary()).toBe("|3 A=1 B= C=3 ");
  environment.setEnv("B", "2");
  expect(environment.argSummary()).toBe("|3 A=1 B=2 C=3 ");
  const above = new Environment(environment);
  above.setEnv("A", "x");
  expect(above.argSummary()).toBe("|3 A=x B=2 C=3 ");
  expect(environment.argSummary()).toBe("|3 A=1 B=2 C=3 ");
});

test("groups hold what an ordinary list would, whatever is set in whatever order", () => {
  const change = fc.record({ name: fc.nat(100), value: fc.nat(3), by: fc.constantFrom("env", "arg", "stage") });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 300 }), (changes) => {
      let environment = new Environment();
      const expected = new Map<string, string>();
      for (const { name, value, by } of changes) {
        if (by === "stage") environment = new Environment(environment);
        else if (by === "env") environment.setEnv(`N${name}`, String(value));
        else environment.declareArg(`N${name}`, String(value));
        if (by !== "stage") expected.set(`N${name}`, `N${name}=${value}`);
      }
      const groups = environment.groups();
      expect(groups.flat()).toEqual([...expected.values()]);
      expect(groups.slice(0, -1).every((group) => group.length === GROUP_SIZE)).toBe(true);
    }),
  );
});
