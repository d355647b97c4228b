/** Removes credentials from the URLs of a text. The user of an ssh URL is not a secret; its password is. */
export function withoutCredentials(text: string): string {
  return (
    text
      .replace(/\b(ssh:\/\/[^/\s@:']+)(?::[^/\s']*)?@/gi, "$1@")
      // Match up to the last @ before the path: a password may contain @.
      .replace(/\b((?!ssh:)[a-z][a-z0-9+.-]*:\/\/)[^/\s']*@/gi, "$1")
  );
}

/**
 * Replaces passwords of URLs, and names used as passwords (`https://TOKEN@host`), with as many asterisks, so that the
 * columns of the text stay the same.
 */
export function coverPasswords(text: string): string {
  if (!text.includes("://")) return text;
  return text.replaceAll(
    /\b([a-z][a-z0-9+.-]*:\/\/)([^/\s'":@]*)(:[^/\s'"]*)?@/gi,
    (whole, scheme: string, user: string, password?: string) => {
      if (password !== undefined) return `${scheme}${user}:${"*".repeat(password.length - 1)}@`;
      return /^ssh:/i.test(scheme) ? whole : `${scheme}${"*".repeat(user.length)}@`;
    },
  );
}
