#!/bin/sh
# Kills a run with -9 in the middle of its work, and lets it go on. Takes some seconds.
#
#   sh examples/kill-and-resume/demo.sh              # with `orch` in the PATH
#   ORCH=target/debug/orch sh examples/kill-and-resume/demo.sh
set -eu
orch=$(command -v "${ORCH:-orch}") || { echo "no orch: name it, as ORCH=path/to/orch" >&2; exit 2; }
case $orch in /*) ;; *) orch=$PWD/$orch ;; esac
cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
log=$out/done.log
say() { printf '\n# %s\n' "$*"; }

say "Two agents work on three pieces, one after the other. What happens goes into a journal."
"$orch" run team.toml --journal "$out/run.journal" --set "log=$log" --set "pause=${PAUSE:-1}" \
    --input apple --input pear --input plum &
run=$!
until grep -q 'edit begins draft(apple)' "$log" 2> /dev/null && grep -q 'draft begins pear' "$log"; do
    kill -0 "$run" || exit 1
    sleep 0.05
done

say "Both agents are at work: kill -9."
kill -9 "$run"
wait "$run" || true
cat "$log"

say "orch journal show: what was done, and what was being done."
"$orch" journal show "$out/run.journal"

say "orch resume, from another folder: it shows what was left, and goes on."
(cd / && "$orch" resume --yes "$out/run.journal")

say "What the programs wrote. A piece that was cut off begins twice; none ends twice, none is missing."
cat "$log"
for agent in draft edit; do
    for piece in apple pear plum; do
        [ "$agent" = draft ] || piece="draft($piece)"
        n=$(grep -c -F -x "$agent ends   $piece" "$log" || true)
        [ "$n" = 1 ] || { echo "$agent has done $piece $n times" >&2; exit 1; }
    done
done
say "Six pieces of work, each done once."
