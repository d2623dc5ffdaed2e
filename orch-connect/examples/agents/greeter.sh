#!/bin/sh
# An agent in mode "jsonl" that answers every message alike, so that it need not read JSON.
n=0
while read -r line; do
    case "$line" in
    *'"type":"message"'*)
        n=$((n + 1))
        echo '{"type":"reply","content":"hello, number '$n'"}'
        echo '{"type":"ack"}'
        ;;
    *'"type":"stop"'*) exit 0 ;;
    esac
done
