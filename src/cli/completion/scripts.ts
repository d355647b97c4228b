/**
 * The scripts that shells load. Each hands the words so far to `kiln __complete` and shows what it prints: candidates, a
 * tab and what they are; then a line that begins with a colon says what else counts: `:files` and `:folders` are the
 * shell's own, `:more` that the word is not at its end.
 */
export const SCRIPTS: Readonly<Record<string, string>> = {
  bash: `# Completion of kiln for bash 4 and newer.
_kiln() {
  local program=\${COMP_WORDS[0]/#\\~/$HOME} word=\${COMP_WORDS[COMP_CWORD]} answer line current order=
  local -i skip
  COMPREPLY=()
  [[ $word == [:=] ]] && word=
  mapfile -t answer < <("$program" __complete line "\${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
  # The first line is the whole word; readline replaces what follows its last colon or equals sign.
  current=\${answer[0]}
  skip=$((\${#current} - \${#word}))
  ((skip < 0)) && skip=0
  for line in "\${answer[@]:1}"; do
    if [[ $line == :* ]]; then order+=$line; continue; fi
    line=\${line%%$'\\t'*}
    COMPREPLY+=("\${line:skip}")
  done
  [[ $order == *:more* ]] && compopt -o nospace 2>/dev/null
  [[ $order == *:files* ]] && compopt -o default -o filenames 2>/dev/null
  [[ $order == *:folders* ]] && compopt -o dirnames -o filenames 2>/dev/null
  return 0
}
complete -F _kiln kiln
`,
  zsh: `#compdef kiln
# Completion of kiln for zsh.
_kiln() {
  local -a answer plain open
  local line value text order=
  answer=("\${(@f)$(\${(Q)words[1]/#\\~/$HOME} __complete words "\${(@Q)words[1,CURRENT]}" 2>/dev/null)}")
  for line in "\${(@)answer[2,-1]}"; do
    [[ -z $line ]] && continue
    if [[ $line == :* ]]; then order+=$line; continue; fi
    value=\${line%%$'\\t'*} text=
    [[ $line == *$'\\t'* ]] && text=\${line#*$'\\t'}
    value=\${value//:/\\\\:}
    plain+=("$value\${text:+:$text}")
  done
  local -a flags
  [[ $order == *:more* ]] && flags=(-S '')
  (( $#plain )) && _describe -V kiln plain "\${flags[@]}"
  if [[ $order == *:files* ]]; then
    [[ $PREFIX == --*=* ]] && compset -P '*='
    _files
  elif [[ $order == *:folders* ]]; then
    _files -/
  fi
  return 0
}
if [[ $funcstack[1] == _kiln ]]; then _kiln "$@"; else compdef _kiln kiln; fi
`,
  fish: `# Completion of kiln for fish.
function __kiln_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l answer (command $words[1] __complete words $words "$current" 2>/dev/null)
    set -l order ''
    for line in $answer[2..-1]
        switch $line
            case ':*'
                set order "$order$line"
            case '*'
                echo $line
        end
    end
    if string match -q '*:files*' -- $order
        __fish_complete_path (string replace -r '^--[^=]*=' '' -- $current)
    else if string match -q '*:folders*' -- $order
        __fish_complete_directories (string replace -r '^--[^=]*=' '' -- $current)
    end
end
complete -c kiln -f -a '(__kiln_complete)'
`,
};
