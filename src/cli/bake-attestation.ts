/** Writes the value of `--provenance` or `--sbom` as the attribute `attest` of a target. */
export function attestation(type: string, text: string): string {
  if (/^(?:1|t|true)$/i.test(text)) return `type=${type}`;
  return /^(?:0|f|false)$/i.test(text) ? `type=${type},disabled=true` : `type=${type},${text}`;
}
