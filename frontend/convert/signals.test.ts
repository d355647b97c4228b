import { expect, test } from "vitest";
import { isSignal } from "./signals.ts";

test.each(["SIGTERM", "term", "SigKill", "9", "37", "SIGRTMIN", "RTMIN+3", "SIGRTMAX-14"])("%s is a signal", (text) => {
  expect(isSignal(text)).toBe(true);
});

test.each(["0", "99999999999999999999", "", "SIGNOTHING", "SIG", "RTMIN+16", "RTMAX-15", "RTMIN+0", "1.5", "TERM "])(
  "%j is none",
  (text) => {
    expect(isSignal(text)).toBe(false);
  },
);
