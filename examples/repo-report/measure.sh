# Measures the files of one folder: `size FOLDER` on stdin. `largest` finds the largest file of all.
#
# Answers in lines of tab-separated words:
#   folder NAME FILES LINES CODE COMMENTS TODOS | file LINES PATH | function LINES PATH:LINE NAME |
#   todo PATH:LINE TEXT
. ./lib.sh
read -r task group
enter

# Of the file names on stdin those of texts that people write.
texts() {
    awk '!/(\.lock|package-lock\.json|\.min\.js|\.svg)$/ { print "./" $0 }' |
        tr '\n' '\0' | xargs -0 grep -IlZ -e '' -- 2>/dev/null | tr '\0' '\n' | sed 's|^\./||'
}

if [ "$task" = largest ]; then
    all_files | texts | tr '\n' '\0' | xargs -0 wc -c -- |
        awk '$2 != "total" || NF > 2 { print $1 "\t" substr($0, index($0, $2)) }' |
        sort -rn | head -n 1 | awk -F '\t' '{ print "the largest file is " $2 " (" $1 " bytes)" }'
    exit
fi
if [ "$task" != size ]; then
    echo "measure does not know the task '$task'" >&2
    exit 65
fi

grouped_files | awk -F "$tab" -v group="$group" '$1 == group { print $2 }' | texts |
    awk -v group="$group" -v tab="$tab" '
    # How a comment begins in files of this kind; nothing for texts and data.
    function comment_of(path) {
        if (path ~ /\.(rs|c|h|cc|cpp|hpp|cs|go|java|js|jsx|ts|tsx|kt|swift|scala|zig|css|php)$/)
            return "^[ \t]*(//|/\\*|\\*)"
        if (path ~ /\.(sh|bash|py|rb|pl|toml|ya?ml|tf|awk|r)$/ || path ~ /(Makefile|Dockerfile)$/)
            return "^[ \t]*#"
        if (path ~ /\.(sql|lua|hs|elm|ada)$/) return "^[ \t]*--"
        if (path ~ /\.(lisp|clj|el|asm|ini)$/) return "^[ \t]*;"
        return ""
    }
    # The longest functions of Rust, by the indentation that rustfmt gives them.
    function rust(line, path, number,    name) {
        if (!in_function && line ~ /^ *(pub(\([a-z: ]*\))? )?(const )?(async )?(unsafe )?fn [a-z_]/) {
            name = line
            sub(/^.*fn /, "", name)
            sub(/[^A-Za-z0-9_].*$/, "", name)
            match(line, /^ */)
            in_function = 1; begun = number; end = substr(line, 1, RLENGTH) "}"; called = name
        }
        if (!in_function) return
        if (line == end) {
            print "function" tab number - begun + 1 tab path ":" begun tab called
            in_function = 0
        } else if (line ~ /;$/ && number == begun || line ~ /\}$/ && number == begun) {
            in_function = 0
        }
    }
    function read_file(path,    comment, is_rust, number, line, place, status) {
        comment = comment_of(path); is_rust = path ~ /\.rs$/; in_function = 0; number = 0
        while ((status = getline line < ("./" path)) > 0) {
            number++
            if (comment == "" || line ~ /^[ \t\r]*$/) continue
            if (line !~ comment) code++
            else {
                comments++
                place = match(line, /(TODO|FIXME)[:(]/)
                if (place) { todos++; print "todo" tab path ":" number tab substr(line, place, 60) }
            }
            if (is_rust) rust(line, path, number)
        }
        close("./" path)
        if (status < 0) return
        files++; lines += number
        print "file" tab number tab path
    }
    { read_file($0) }
    END {
        print "folder" tab group tab files + 0 tab lines + 0 tab code + 0 tab comments + 0 \
            tab todos + 0
    }' | sort -t "$tab" -k 1,1 -k 2,2nr |
    awk -F "$tab" -v top="${TOP:-8}" '$1 == "folder" || $1 == "todo" || n[$1]++ < top'
