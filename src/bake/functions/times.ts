import { mapOf, type Value } from "../hcl/value.ts";
import { callFailure, define, type NativeFunction } from "./args.ts";

/** Functions of dates. */
export const TIME_FUNCTIONS: Readonly<Record<string, NativeFunction>> = {
  timestamp: define(0, 0, (_args, host) => rfc3339(host.nowMs(), 0)),
  timeadd: define(2, 2, (args) => {
    const { ms, zoneMinutes } = parseTime(args.text(0));
    return rfc3339(ms + durationMs(args.text(1)), zoneMinutes);
  }),
  formatdate: define(2, 2, (args) => formatDate(args.text(0), parseTime(args.text(1)))),
  formattimestamp: define(2, 2, (args) => {
    const time = typeof args.any(1) === "number" ? unixTime(args.whole(1)) : parseTime(args.text(1));
    return args.text(0) === "X" ? String(Math.floor(time.ms / 1000)) : formatDate(args.text(0), time);
  }),
  unixtimestampparse: define(1, 1, (args) => timeMembers(unixTime(args.whole(0)))),
};

interface Time {
  readonly ms: number;
  readonly zoneMinutes: number;
}

function parseTime(text: string): Time {
  const [, , sign = "", hours = "0", minutes = "0"] =
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(Z|([+-])(\d\d):(\d\d))$/.exec(text) ?? [];
  const ms = Date.parse(text);
  if (Number.isNaN(ms) || !/^\d{4}-.*T.*(?:Z|[+-]\d\d:\d\d)$/.test(text)) {
    throw callFailure(`${JSON.stringify(text)} is no time like 2006-01-02T15:04:05Z`);
  }
  return { ms, zoneMinutes: (Number(hours) * 60 + Number(minutes)) * (sign === "-" ? -1 : 1) };
}

function unixTime(seconds: number): Time {
  if (Math.abs(seconds) > 8.64e12) throw callFailure(`${seconds} seconds are no date`);
  return { ms: seconds * 1000, zoneMinutes: 0 };
}

/** Takes a time of UTC apart, with the year and week of ISO 8601. */
function timeMembers({ ms }: Time): Value {
  const date = new Date(ms);
  const year = date.getUTCFullYear();
  // The week and its year are those of its Thursday.
  const thursday = new Date(ms - ((date.getUTCDay() + 6) % 7) * DAY_MS + 3 * DAY_MS);
  const isoYear = thursday.getUTCFullYear();
  return mapOf([
    ["year", year],
    ["year_day", dayOfYear(date)],
    ["day", date.getUTCDate()],
    ["month", date.getUTCMonth() + 1],
    ["month_name", MONTHS[date.getUTCMonth()] ?? ""],
    ["weekday", date.getUTCDay()],
    ["weekday_name", DAYS[date.getUTCDay()] ?? ""],
    ["hour", date.getUTCHours()],
    ["minute", date.getUTCMinutes()],
    ["second", date.getUTCSeconds()],
    ["rfc3339", rfc3339(ms, 0)],
    ["iso_year", isoYear],
    ["iso_week", Math.ceil(dayOfYear(thursday) / 7)],
  ]);
}

const DAY_MS = 86_400_000;

function dayOfYear(date: Date): number {
  return Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / DAY_MS) + 1;
}

function rfc3339(ms: number, zoneMinutes: number): string {
  const local = new Date(ms + zoneMinutes * 60_000).toISOString().slice(0, 19);
  return zoneMinutes === 0 ? `${local}Z` : local + zone(zoneMinutes, ":");
}

function zone(minutes: number, colon: string): string {
  const all = Math.abs(minutes);
  return `${minutes < 0 ? "-" : "+"}${two(Math.floor(all / 60))}${colon}${two(all % 60)}`;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}

const UNITS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

function durationMs(text: string): number {
  const [, sign = "", parts = ""] = /^([+-]?)((?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+)$/.exec(text) ?? [];
  if (parts === "") throw callFailure(`${JSON.stringify(text)} is no duration like 1h30m`);
  const sum = [...parts.matchAll(/(\d+(?:\.\d+)?)([a-zµ]+)/g)].reduce(
    (all, [, amount = "0", unit = ""]) => all + Number(amount) * (UNITS[unit] ?? 0),
    0,
  );
  return sign === "-" ? -sum : sum;
}

const MONTHS = "January February March April May June July August September October November December".split(" ");
const DAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split(" ");

function formatDate(pattern: string, { ms, zoneMinutes }: Time): string {
  const date = new Date(ms + zoneMinutes * 60_000);
  const hours = date.getUTCHours();
  const twelve = hours % 12 === 0 ? 12 : hours % 12;
  const words: Readonly<Record<string, string>> = {
    YYYY: String(date.getUTCFullYear()).padStart(4, "0"),
    YY: two(date.getUTCFullYear() % 100),
    MMMM: MONTHS[date.getUTCMonth()] ?? "",
    MMM: (MONTHS[date.getUTCMonth()] ?? "").slice(0, 3),
    MM: two(date.getUTCMonth() + 1),
    M: String(date.getUTCMonth() + 1),
    DD: two(date.getUTCDate()),
    D: String(date.getUTCDate()),
    EEEE: DAYS[date.getUTCDay()] ?? "",
    EEE: (DAYS[date.getUTCDay()] ?? "").slice(0, 3),
    hh: two(hours),
    h: String(hours),
    HH: two(twelve),
    H: String(twelve),
    mm: two(date.getUTCMinutes()),
    m: String(date.getUTCMinutes()),
    ss: two(date.getUTCSeconds()),
    s: String(date.getUTCSeconds()),
    AA: hours < 12 ? "AM" : "PM",
    aa: hours < 12 ? "am" : "pm",
    ZZZZZ: zone(zoneMinutes, ":"),
    ZZZZ: zone(zoneMinutes, ""),
    ZZZ: zoneMinutes === 0 ? "UTC" : zone(zoneMinutes, ""),
    Z: zoneMinutes === 0 ? "Z" : zone(zoneMinutes, ":"),
  };
  return pattern.replaceAll(/'((?:[^']|'')*)'|([a-zA-Z])\2*/g, (whole: string, quoted?: string) => {
    if (quoted !== undefined) return quoted.replaceAll("''", "'");
    const word = words[whole];
    if (word === undefined) throw callFailure(`there is no date sequence ${JSON.stringify(whole)}`);
    return word;
  });
}
