//! Words that no file of the repository may have: the folders of somebody's machine.

use super::code::is_word_char;
use super::{Finding, Tree};

/// Folders of a machine, each with whether any name may follow. Split, or this file had them too.
const MACHINE_FOLDERS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), HOME];

/// Only with the name of a person after it.
const HOME: &str = concat!("/ho", "me/");

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let files = tree.files.iter().filter(|(path, _)| *path != "Cargo.lock");
    files.flat_map(|(path, text)| check_file(path, text)).collect()
}

fn check_file(path: &str, text: &str) -> Vec<Finding> {
    let lines = (1..).zip(text.lines());
    let found = lines.filter_map(|(number, line)| Some((number, machine_path(line)?)));
    found.map(|(line, folder)| Finding::mistake(path, line, message(folder))).collect()
}

fn message(folder: &str) -> String {
    format!("`{folder}` is a folder of one machine; write a relative path or a made-up one")
}

fn machine_path(line: &str) -> Option<&'static str> {
    MACHINE_FOLDERS.iter().copied().find(|folder| {
        let mut places = line.match_indices(folder);
        places.any(|(at, _)| is_absolute(&line[..at]) && is_real(folder, &line[at..]))
    })
}

/// Whether a path can begin after this, and is not the end of a longer one.
fn is_absolute(before: &str) -> bool {
    let continues = |it: char| is_word_char(it) || ".-~*})]>".contains(it);
    !before.ends_with(continues)
}

fn is_real(folder: &str, path: &str) -> bool {
    folder != HOME || path[HOME.len()..].starts_with(is_word_char)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{clean, finds};
    use super::*;

    #[test]
    fn a_folder_of_a_machine_is_found_in_any_file() {
        for folder in ["/wo_rk/", "/ro_ot/", "/ho_me/me/"] {
            let mut tree = clean();
            let text = format!("# Notes\n\nSee `{}x`.\n", folder.replace('_', ""));
            tree.put("NOTES.md", &text);
            let known = MACHINE_FOLDERS.iter().find(|it| folder.replace('_', "").starts_with(**it));
            let message = message(known.expect("it is in the list"));
            finds(&tree, &[&format!("NOTES.md:3: {message}")]);
        }
    }

    #[test]
    fn a_longer_path_or_a_placeholder_is_allowed() {
        for text in ["target/work/x", "$TMP}/work/x", "~/work/x", "/home/<name>/x", "/homework/x"] {
            assert_eq!(machine_path(text), None, "{text}");
        }
    }

    #[test]
    fn the_lock_file_is_not_ours_to_word() {
        let mut tree = clean();
        tree.put("Cargo.lock", concat!("/wo", "rk/x"));
        finds(&tree, &[]);
    }
}
