#!/usr/bin/env bash
set -Eeuo pipefail
if [ "$1" = database ] && [ "$(id -u)" = 0 ]; then
  exec setpriv --reuid=database --regid=database --clear-groups "$BASH_SOURCE" "$@"
fi
for file in /docker-entrypoint-initdb.d/*; do
  case "$file" in
    *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
    *.sql) echo "sql: $(cat "$file")" ;;
  esac
done
stat -c '%A %U %G' "$PGDATA" /var/run/database
echo "$* as $(id -un)"
