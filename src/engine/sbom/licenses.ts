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
