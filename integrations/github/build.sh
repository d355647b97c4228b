#!/bin/sh
# Runs kiln build with the action's inputs, which are variables: no text of theirs is a part of this script.
set -eu

set -- build
# Lists, one flag for each line that is not empty.
for pair in tag:TAGS build-arg:BUILD_ARGS label:LABELS secret:SECRETS cache-from:CACHE_FROM cache-to:CACHE_TO output:OUTPUTS; do
  eval "text=\${INPUT_${pair#*:}-}"
  while IFS= read -r line; do
    [ -z "$line" ] || set -- "$@" "--${pair%%:*}=$line"
  done <<EOF
$text
EOF
done
while IFS= read -r line; do
  [ -z "$line" ] || set -- "$@" "$line"
done <<EOF
${INPUT_FLAGS-}
EOF
[ -z "${INPUT_FILE-}" ] || set -- "$@" "--file=$INPUT_FILE"
[ -z "${INPUT_TARGET-}" ] || set -- "$@" "--target=$INPUT_TARGET"
[ -z "${INPUT_PLATFORMS-}" ] || set -- "$@" "--platform=$INPUT_PLATFORMS"
[ "${INPUT_PUSH-}" != true ] || set -- "$@" --push
[ -z "${GITHUB_STEP_SUMMARY-}" ] || set -- "$@" "--summary=$GITHUB_STEP_SUMMARY"

folder=$(mktemp -d "${RUNNER_TEMP:-/tmp}/kiln-XXXXXX")
metadata=$folder/metadata.json
kiln "$@" "--iidfile=$folder/id" "--metadata-file=$metadata" -- "${INPUT_CONTEXT:-.}"

digest=$(sed -n 's/^ *"containerimage.digest": *"\(sha256:[0-9a-f]*\)".*/\1/p' "$metadata")
{
  echo "image-id=$(cat "$folder/id" 2>/dev/null || true)"
  echo "digest=$digest"
  echo "metadata-file=$metadata"
} >>"$GITHUB_OUTPUT"
