# What changed in one folder: `history FOLDER` on stdin.
#
# Answers in lines of tab-separated words:
#   churn FOLDER COMMITS LINES | changed COMMITS LINES PATH | none WHY
. ./lib.sh
read -r task group

# On purpose, so that retries can be seen: 75 is "try again later".
if [ "$group" = . ] && [ "${ORCH_ATTEMPT:-3}" -lt 3 ]; then
    echo "on purpose: attempt $ORCH_ATTEMPT of 3 fails" >&2
    exit 75
fi

enter
if [ "$task" != history ]; then
    echo "history does not know the task '$task'" >&2
    exit 65
fi
if ! has_git; then
    printf 'none\tthis folder is not a git checkout\n'
    exit
fi
if ! git_here rev-parse --quiet --verify HEAD >/dev/null; then
    printf 'none\tgit has no commit yet\n'
    exit
fi

case $group in
    .) path=':(glob)*' ;;
    */\*) path=":(glob)$group" ;;
    *) path=":(literal)$group" ;;
esac
# Apart from what follows, so that its failure is that of this attempt.
log=$(git_here log --since="${SINCE:-1 year ago}" --no-renames --no-merges --relative --numstat \
    --format=tformat:commit -- "$path") || exit 75
printf '%s\n' "$log" |
    awk -F "$tab" -v group="$group" -v tab="$tab" '
    $0 == "commit" { all++ }
    NF == 3 { sum[$3] += $1 + $2; commits[$3]++; lines += $1 + $2 }
    END {
        print "churn" tab group tab all + 0 tab lines + 0
        for (path in sum) print "changed" tab commits[path] tab sum[path] tab path
    }' | sort -t "$tab" -k 1,1r -k 2,2nr -k 3,3nr -k 4 | awk -F "$tab" -v top="${TOP:-8}" '
    $1 == "churn" || n++ < top'
