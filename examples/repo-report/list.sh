# Two lines for each folder of the repository: one for `measure`, one for `history`.
. ./lib.sh
enter

groups=$(grouped_files | cut -f 1 | sort -u)
if [ -z "$groups" ]; then
    echo "there are no files in $(pwd)" >&2
    exit 65
fi
# The top folder first, even if it holds no files: its history is the one that fails twice.
printf '.\n%s\n' "$groups" | awk '!seen[$0]++ { print "size " $0; print "history " $0 }'
