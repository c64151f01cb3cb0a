#!/bin/sh
# Compares wordcount with what is known, and with wc.
set -eu
check() {
  got=$(printf "$1" | ./wordcount)
  [ "$got" = "$2" ] || { echo "FAILED: '$1' gave '$got', not '$2'" >&2; exit 1; }
  echo "ok: $2"
}
check '' '0 0 0'
check 'one' '0 1 3'
check 'one two\nthree\n' '2 3 14'
check '  \n\n' '2 0 4'
[ "$(./wordcount < wordcount.c)" = "$(wc < wordcount.c | awk '{ print $1, $2, $3 }')" ]
echo "ok: the same as wc on wordcount.c"
