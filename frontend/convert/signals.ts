const NAMES = new Set(
  (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN " +
    "TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX"
  ).split(" "),
);

/** Tells whether STOPSIGNAL accepts the text: a number other than 0, or a name with or without SIG, in any case. */
export function isSignal(text: string): boolean {
  if (/^[+-]?\d+$/.test(text)) return isInteger64(text) && Number(text) !== 0;
  const name = text.toUpperCase().replace(/^SIG/, "");
  if (NAMES.has(name)) return true;
  const realTime = /^RT(?:MIN\+(\d{1,2})|MAX-(\d{1,2}))$/.exec(name);
  if (realTime === null) return false;
  const [, fromMin, fromMax] = realTime;
  return fromMin === undefined ? Number(fromMax) >= 1 && Number(fromMax) <= 14 : between(Number(fromMin));
}

/** Tells whether Go reads the text as a 64-bit number. Go takes a larger number for a name. */
function isInteger64(text: string): boolean {
  const number = BigInt(text.replace("+", ""));
  return BigInt.asIntN(64, number) === number;
}

function between(offset: number): boolean {
  return offset >= 1 && offset <= 15;
}
