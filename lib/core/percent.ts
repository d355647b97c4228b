/** Decodes the percent escapes of a URL's part. A text with a stray percent sign stays as it is written. */
export function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
