# Makes one report of what `measure` and `history` found, on stdin.
. ./lib.sh
found=${TMPDIR:-/tmp}/found.$$
trap 'rm -f "$found"' EXIT
cat >"$found"
enter

awk -F "$tab" -v name="$(basename "$(pwd)")" '
    function n(number,    text) { # 12345 as 12,345
        text = sprintf("%d", number)
        while (match(text, /^[0-9]+[0-9][0-9][0-9](,|$)/)) {
            match(text, /^[0-9]+/)
            text = substr(text, 1, RLENGTH - 3) "," substr(text, RLENGTH - 2)
        }
        return text
    }
    function percent(part, whole) { return whole ? sprintf("%d %%", part * 100 / whole) : "-" }
    function row(folder, f, l, c, k, t, m, d) {
        if (length(folder) > 20) folder = substr(folder, 1, 19) "~"
        printf "%-20s %6s %8s %8s %8s %6s %8s %8s\n", folder, f, l, c, k, t, m, d
    }
    $1 == "folder" {
        name_of[++folders] = $2; f[$2] = $3; l[$2] = $4; c[$2] = $5; k[$2] = $6; t[$2] = $7
        files += $3; lines += $4; code += $5; comments += $6; todos += $7
    }
    $1 == "churn" { has_churn[$2] = 1; m[$2] = $3; d[$2] = $4; changed += $4; known = 1 }
    $1 == "none" { why = $2 }
    END {
        printf "%s: %s files, %s lines in %d folders\n\n", name, n(files), n(lines), folders
        row("Folder", "Files", "Lines", "Code", "Comments", "TODOs", "Commits", "Changed")
        for (i = 1; i <= folders; i++) {
            g = name_of[i]
            if (!f[g] && !d[g]) continue
            row(g == "." ? "(top)" : g, n(f[g]), n(l[g]), n(c[g]), percent(k[g], c[g] + k[g]), \
                t[g] ? n(t[g]) : "-", has_churn[g] ? n(m[g]) : "-", has_churn[g] ? n(d[g]) : "-")
        }
        row("Total", n(files), n(lines), n(code), percent(comments, code + comments), n(todos), \
            "", known ? n(changed) : "-")
        if (!known) printf "\nNo history: %s.\n", why == "" ? "nobody looked" : why
    }' "$found"

# A list of one kind of line: title, kind, keys to sort by, form of a line.
list() {
    # shellcheck disable=SC2086 # Several words on purpose.
    lines=$(awk -F "$tab" -v kind="$2" '$1 == kind' "$found" | sort -t "$tab" $3 |
        head -n "${TOP:-8}")
    if [ -n "$lines" ]; then
        printf '\n%s\n' "$1"
        printf '%s\n' "$lines" | awk -F "$tab" "{ $4 }"
    fi
}
list "Longest files (lines)" file '-k 2,2nr -k 3' 'printf "%8d  %s\n", $2, $3'
list "Longest functions of Rust (lines)" function '-k 2,2nr -k 3' 'printf "%8d  %-40s %s\n", $2, $3, $4'
list "Most changed files since ${SINCE:-1 year ago} (commits, lines)" changed '-k 2,2nr -k 3,3nr -k 4' \
    'printf "%8d %7d  %s\n", $2, $3, $4'
list "To do" todo '-k 2,2' 'printf "  %s  %s\n", $2, $3'
