#!/bin/sh
# Two tests, as TAP: the word is there, and has as many letters as was counted.
echo "1..2"
if [ -n "$1" ]; then echo "ok 1 - there is a word"; else echo "not ok 1 - there is a word"; fi
if [ "${#1}" -eq "$2" ]; then echo "ok 2 - $1 has $2 letters"; else echo "not ok 2 - $1 has $2 letters"; fi
