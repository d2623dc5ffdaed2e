# What the scripts of this folder share. Sourced, in the folder of the team file.

tab=$(printf '\t')

# Into the folder to report on. Fails for good (78) if there is none.
enter() {
    cd "${REPO:-../..}" 2>/dev/null || {
        echo "there is no folder ${REPO:-../..}; set it with --set repo=PATH" >&2
        exit 78
    }
}

# Git as a reader: whoever owns the folder, and without running anything of it.
git_here() {
    GIT_OPTIONAL_LOCKS=0 git -c safe.directory='*' -c core.fsmonitor=false \
        -c core.quotePath=false "$@"
}

has_git() {
    git_here rev-parse --is-inside-work-tree >/dev/null 2>&1
}

# All files below, one a line: those of git (and new ones that it does not ignore), or all that lie
# in the folder, without hidden ones and what tools put there.
all_files() {
    if has_git; then
        git_here ls-files --cached --others --exclude-standard -z | tr '\0' '\n' | sort -u
    else
        find . -name '.?*' -prune -o \
            -type d \( -name target -o -name node_modules -o -name __pycache__ \) -prune -o \
            -type f -print | sed 's|^\./||' | sort
    fi
}

# All files with their group before them, a tab between: `.` for the files of the top folder, the
# name of a folder below it, and of the folders in that one if it holds more than 200 files.
grouped_files() {
    all_files | awk -v tab="$tab" '
        { file[NR] = $0; n = split($0, part, "/"); if (n > 1) held[part[1]]++ }
        END {
            for (i = 1; i <= NR; i++) {
                n = split(file[i], part, "/")
                group = n == 1 ? "." : part[1]
                if (n > 1 && held[part[1]] > 200) group = part[1] "/" (n == 2 ? "*" : part[2])
                print group tab file[i]
            }
        }'
}
