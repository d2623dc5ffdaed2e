//! What every Rust file has to have, and what none may have.

use super::code::{blank, find_word, lines_with};
use super::{Finding, Tree};

/// The files in which our own unsafe code may stand: those of a crate that ships it, and the disk
/// that fails in the tests of the journal.
const UNSAFE_FILES: [&str; 3] =
    ["orch-bus/src/lane.rs", "orch-bus/src/stack.rs", "orch-journal/tests/it/vfs.rs"];
const UNSAFE_CRATE: &str = "orch-bus";

/// Above this, a file is more than one idea.
const LINES_MAX: usize = 900;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let files = tree.rust().flat_map(|(path, text)| check_file(path, text));
    files.chain(forbids_unsafe(tree)).collect()
}

fn check_file(path: &str, text: &str) -> Vec<Finding> {
    let code = blank(text);
    let mistake = |(line, message): (usize, String)| Finding::mistake(path, line, message);
    let mistakes = [head(text), unsafe_code(path, &code), left_over(&code), attributes(&code)];
    mistakes.into_iter().flatten().map(mistake).chain(too_long(path, text)).collect()
}

fn head(text: &str) -> Vec<(usize, String)> {
    let message = "the first line is not a `//!` that says what the file is for";
    if text.starts_with("//! ") { Vec::new() } else { vec![(1, message.to_owned())] }
}

fn unsafe_code(path: &str, code: &str) -> Vec<(usize, String)> {
    if UNSAFE_FILES.contains(&path) {
        return Vec::new();
    }
    let message = || format!("unsafe code stands in {} alone", UNSAFE_FILES.join(", "));
    lines_with(code, "unsafe").into_iter().map(|line| (line, message())).collect()
}

fn left_over(code: &str) -> Vec<(usize, String)> {
    let found = |name: &'static str| {
        let calls = move |line: &str| {
            find_word(line, name).is_some_and(|at| line[at + name.len()..].starts_with('!'))
        };
        let lines = (1..).zip(code.lines()).filter(move |(_, line)| calls(line));
        lines.map(move |(line, _)| (line, format!("`{name}!` was left here")))
    };
    ["dbg", "todo"].into_iter().flat_map(found).collect()
}

fn attributes(code: &str) -> Vec<(usize, String)> {
    let all = code.match_indices('#').filter_map(|(at, _)| {
        let line = code[..at].matches('\n').count() + 1;
        Some((line, attribute_objection(attribute(&code[at..])?)?.to_owned()))
    });
    all.collect()
}

/// The inside of an attribute that begins here.
fn attribute(code: &str) -> Option<&str> {
    let inside = code.strip_prefix('#')?;
    let inside = inside.strip_prefix('!').unwrap_or(inside).strip_prefix('[')?;
    let mut depth = 1;
    let end = inside.find(|it| {
        depth += i32::from(it == '[') - i32::from(it == ']');
        depth == 0
    });
    Some(&inside[..end?])
}

fn attribute_objection(attribute: &str) -> Option<&'static str> {
    let has_reason = find_word(attribute, "reason").is_some();
    let calls = |name: &str| {
        find_word(attribute, name).is_some_and(|at| attribute[at + name.len()..].starts_with('('))
    };
    if calls("allow") && !has_reason {
        return Some("`allow` without a reason; better `#[expect(…, reason = \"…\")]`");
    }
    if calls("expect") && !has_reason {
        return Some("`expect` without a reason");
    }
    let after_ignore = find_word(attribute, "ignore").map(|at| &attribute[at + "ignore".len()..]);
    let has_no_reason = after_ignore.is_some_and(|rest| !rest.trim_start().starts_with('='));
    has_no_reason.then_some("`ignore` without a reason: `#[ignore = \"…\"]`")
}

fn too_long(path: &str, text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    let is_long = path.contains("src/") && LINES_MAX < lines;
    is_long.then(|| Finding::warning(path, lines, format!("more than {LINES_MAX} lines")))
}

/// Each crate but one forbids unsafe code in the first file of its library and programs.
fn forbids_unsafe(tree: &Tree) -> Vec<Finding> {
    let safe = tree.packages.iter().filter(|package| package.name != UNSAFE_CRATE);
    let roots = safe.flat_map(|package| &package.roots);
    let lacks = |path: &&String| !blank(tree.text(path)).contains("#![forbid(unsafe_code)]");
    let message = "the crate does not say `#![forbid(unsafe_code)]`";
    roots.filter(lacks).map(|path| Finding::mistake(path, 1, message)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{clean, finds};
    use super::*;

    /// What is found in a file with this text after its head.
    #[track_caller]
    fn finds_in_file(text: &str, expected: &[&str]) {
        let mut tree = clean();
        tree.put("orch-core/tests/it/main.rs", &format!("//! Tests.\n{text}"));
        let expected: Vec<String> =
            expected.iter().map(|it| format!("orch-core/tests/it/main.rs:{it}")).collect();
        finds(&tree, &expected.iter().map(String::as_str).collect::<Vec<_>>());
    }

    #[test]
    fn a_file_without_a_head_is_found() {
        let mut tree = clean();
        tree.put("orch-core/examples/hello.rs", "fn main() {}\n");
        finds(
            &tree,
            &["orch-core/examples/hello.rs:1: the first line is not a `//!` that says what the \
               file is for"],
        );
    }

    #[test]
    fn a_crate_that_does_not_forbid_unsafe_code_is_found() {
        let mut tree = clean();
        tree.put("orch-core/src/lib.rs", "//! Types.\n\n// #![forbid(unsafe_code)]\n");
        let message = "the crate does not say `#![forbid(unsafe_code)]`";
        finds(&tree, &[&format!("orch-core/src/lib.rs:1: {message}")]);
    }

    #[test]
    fn unsafe_code_is_found_but_for_its_few_files() {
        let mut tree = clean();
        for path in UNSAFE_FILES {
            tree.put(path, "//! Lists.\nfn f() { unsafe { g() } }\n");
        }
        finds(&tree, &[]);
        let message = "unsafe code stands in orch-bus/src/lane.rs, orch-bus/src/stack.rs, \
                       orch-journal/tests/it/vfs.rs alone";
        finds_in_file("\nunsafe fn f() {}\n", &[&format!("3: {message}")]);
        finds_in_file("// unsafe\nconst A: &str = \"unsafe\";\n", &[]);
    }

    #[test]
    fn a_macro_that_was_left_over_is_found() {
        finds_in_file("fn f() { dbg!(1); }\n", &["2: `dbg!` was left here"]);
        finds_in_file("fn f() { std::todo!() }\n", &["2: `todo!` was left here"]);
        finds_in_file("// todo!\nfn todo() { mydbg!() }\n", &[]);
    }

    #[test]
    fn an_ignored_test_without_a_reason_is_found() {
        let message = "2: `ignore` without a reason: `#[ignore = \"…\"]`";
        finds_in_file("#[ignore]\nfn slow() {}\n", &[message]);
        finds_in_file("#[cfg_attr(feature = \"slow\", ignore)]\nfn slow() {}\n", &[message]);
        finds_in_file("#[ignore = \"needs a day\"]\nfn slow() {}\n", &[]);
    }

    #[test]
    fn an_allowed_lint_without_a_reason_is_found() {
        let message = "2: `allow` without a reason; better `#[expect(…, reason = \"…\")]`";
        finds_in_file("#![allow(dead_code)]\n", &[message]);
        finds_in_file("#[cfg_attr(test, allow(\n    dead_code\n))]\nfn f() {}\n", &[message]);
        finds_in_file("#[allow(dead_code, reason = \"used by tests\")]\nfn f() {}\n", &[]);
        finds_in_file("fn f() { allow(1); }\n", &[]);
    }

    #[test]
    fn an_expected_lint_without_a_reason_is_found() {
        finds_in_file("#[expect(dead_code)]\nfn f() {}\n", &["2: `expect` without a reason"]);
        finds_in_file("#[expect(dead_code, reason = \"why\")]\nfn f() {}\n", &[]);
    }

    #[test]
    fn a_long_file_is_a_warning() {
        let mut tree = clean();
        tree.put("orch-core/src/long.rs", &"//! Long.\n".repeat(LINES_MAX + 1));
        finds(&tree, &["orch-core/src/long.rs:901: warning: more than 900 lines"]);
    }
}
