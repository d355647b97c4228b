/** Frequent identifiers of the SPDX list: an expression of others is given in the package's own words. */
const IDS = new Set(
  (
    "0BSD AFL-2.1 AGPL-3.0-only AGPL-3.0-or-later Apache-1.1 Apache-2.0 Artistic-1.0-Perl Artistic-2.0 Beerware BSD-1-Clause " +
    "BSD-2-Clause BSD-3-Clause BSD-4-Clause BSL-1.0 BlueOak-1.0.0 bzip2-1.0.6 CC-BY-3.0 CC-BY-4.0 CC-BY-SA-4.0 CC0-1.0 " +
    "CDDL-1.0 CDDL-1.1 curl EPL-1.0 EPL-2.0 FTL GFDL-1.3-or-later GPL-1.0-only GPL-1.0-or-later GPL-2.0-only " +
    "GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later HPND ICU IJG ISC LGPL-2.0-only LGPL-2.0-or-later LGPL-2.1-only " +
    "LGPL-2.1-or-later LGPL-3.0-only LGPL-3.0-or-later Libpng MIT MIT-0 MPL-1.1 MPL-2.0 NCSA OFL-1.1 OLDAP-2.8 OpenSSL " +
    "PostgreSQL PSF-2.0 Python-2.0 Ruby SGI-B-2.0 Sleepycat SSH-OpenSSH Unicode-3.0 Unicode-DFS-2016 Unlicense UPL-1.0 " +
    "Vim W3C WTFPL X11 Zlib ZPL-2.1"
  ).split(" "),
);

/** Tells whether a text is an expression of well-known SPDX identifiers: `MIT`, `(MIT OR Apache-2.0)`. */
export function isLicenseExpression(text: string): boolean {
  const words = text
    .replaceAll(/[()]/g, (mark) => ` ${mark} `)
    .split(" ")
    .filter((word) => word !== "");
  let depth = 0;
  let wantsId = true;
  for (const word of words) {
    if (word === "(" && wantsId) depth += 1;
    else if (word === ")" && !wantsId && depth > 0) depth -= 1;
    else if ((word === "AND" || word === "OR") && !wantsId) wantsId = true;
    else if (wantsId && IDS.has(word)) wantsId = false;
    else return false;
  }
  return !wantsId && depth === 0;
}

const BY_LOWER_CASE = new Map([...IDS].map((id) => [id.toLowerCase(), id]));
/** Debian's names of licenses that SPDX calls otherwise. */
const DEBIAN_NAMES: ReadonlyMap<string, string> = new Map([
  ["expat", "MIT"],
  ["mit/x11", "MIT"],
  ["bsd-2", "BSD-2-Clause"],
  ["bsd-3", "BSD-3-Clause"],
  ["artistic", "Artistic-1.0-Perl"],
  ["openldap-2.8", "OLDAP-2.8"],
  ["cc0", "CC0-1.0"],
]);

/**
 * Returns the SPDX identifier of a license by one of its names: `GPL-2+`, `expat`, `Apache-2.0`. `undefined` for one that is not well
 * known, or whose version is not said.
 */
export function spdxId(name: string): string | undefined {
  const lower = name.toLowerCase();
  const plain = DEBIAN_NAMES.get(lower) ?? BY_LOWER_CASE.get(lower);
  if (plain !== undefined) return plain;
  const [, family = "", version = "", later = ""] = /^(a?gpl|lgpl|gfdl)-?v?(\d+(?:\.\d+)?)(\+?)$/.exec(lower) ?? [];
  if (family === "") return undefined;
  const whole = version.includes(".") ? version : `${version}.0`;
  return BY_LOWER_CASE.get(`${family}-${whole}-${later === "" ? "only" : "or-later"}`);
}
