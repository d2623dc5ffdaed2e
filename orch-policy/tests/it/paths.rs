//! Paths lead where the operating system says, in a model and on a real disk.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use orch_policy::paths::{Links, Node, PathError, resolve};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::planted::{holds, is_caught};

/// What stands where, by its names from the root. What is not there is missing.
type Tree = BTreeMap<Vec<String>, Entry>;

#[derive(Clone, Debug)]
enum Entry {
    File,
    Dir,
    Link(String),
}

/// How a walk ends, in the words of the operating system.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    At(Vec<String>),
    NoEntry,
    NotDir,
    Loop,
}

/// A tree, a working directory and a path.
type Case = (Tree, Vec<String>, String);

fn name() -> impl Strategy<Value = String> {
    select(vec!["a", "b", "c"]).prop_map(str::to_owned)
}

fn text() -> impl Strategy<Value = String> {
    let part = select(vec!["a", "b", "c", "a", "b", "c", "..", "..", ".", ""]);
    (any::<bool>(), vec(part, 1..6)).prop_map(|(absolute, parts)| {
        let text = format!("{}{}", if absolute { "/" } else { "" }, parts.join("/"));
        // An empty target cannot be made.
        if text.is_empty() { ".".to_owned() } else { text }
    })
}

fn tree() -> impl Strategy<Value = Tree> {
    let entry = prop_oneof![
        1 => Just(Entry::File),
        3 => Just(Entry::Dir),
        3 => text().prop_map(Entry::Link),
    ];
    vec((vec(name(), 1..4), entry), 0..14).prop_map(|entries| {
        let mut tree = Tree::new();
        for (names, entry) in entries {
            plant(&mut tree, &names, entry);
        }
        tree
    })
}

/// Adds an entry if all above it are folders, or can be made as folders.
fn plant(tree: &mut Tree, names: &[String], entry: Entry) {
    for end in 1..names.len() {
        let above = tree.entry(names[..end].to_vec()).or_insert(Entry::Dir);
        if !matches!(above, Entry::Dir) {
            return;
        }
    }
    tree.entry(names.to_vec()).or_insert(entry);
}

fn case() -> impl Strategy<Value = Case> {
    (tree(), vec(name(), 0..3), text()).prop_map(|(tree, mut cwd, path)| {
        // A process cannot stand in what is no folder.
        while !cwd.is_empty() && !matches!(tree.get(&cwd), Some(Entry::Dir)) {
            cwd.pop();
        }
        (tree, cwd, path)
    })
}

/// The walk as the kernel does it: recursive, with the folder in which it stands.
fn model(tree: &Tree, from: Vec<String>, path: &str, links: &mut u32) -> End {
    let mut at = if path.starts_with('/') { Vec::new() } else { from };
    for part in path.split('/') {
        match (part, tree.get(&at)) {
            (_, Some(Entry::File)) => return End::NotDir,
            ("" | ".", _) => {}
            ("..", None) if !at.is_empty() => return End::NoEntry,
            ("..", _) => {
                at.pop();
            }
            (name, _) => {
                let next = [&at[..], &[name.to_owned()]].concat();
                at = match tree.get(&next) {
                    Some(Entry::Link(_)) if *links == 40 => return End::Loop,
                    Some(Entry::Link(target)) => {
                        *links += 1;
                        match model(tree, at, target, links) {
                            End::At(names) => names,
                            failed => return failed,
                        }
                    }
                    _ => next,
                };
            }
        }
    }
    End::At(at)
}

impl Links for Model<'_> {
    fn kind(&self, path: &Path) -> io::Result<Node> {
        let names = names(path);
        for end in 1..names.len() {
            let above = self.0.get(&names[..end]);
            assert!(matches!(above, Some(Entry::Dir)), "asked below what is no folder: {path:?}");
        }
        Ok(match self.0.get(&names) {
            None => Node::Missing,
            Some(Entry::File) => Node::File,
            Some(Entry::Dir) => Node::Dir,
            Some(Entry::Link(target)) => Node::Link(target.into()),
        })
    }
}

struct Model<'a>(&'a Tree);

fn names(path: &Path) -> Vec<String> {
    let text = path.to_str().expect("the names are ASCII");
    text.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn to_end(resolved: Result<PathBuf, PathError>) -> End {
    match resolved {
        Ok(path) => End::At(names(&path)),
        Err(PathError::ParentOfMissing(_)) => End::NoEntry,
        Err(PathError::NotADirectory(_)) => End::NotDir,
        Err(PathError::TooManyLinks(_)) => End::Loop,
        Err(error) => panic!("{error}"),
    }
}

fn real((tree, cwd, path): &Case) -> End {
    let cwd = PathBuf::from(format!("/{}", cwd.join("/")));
    to_end(resolve(path, &cwd, &Model(tree)))
}

fn as_the_model(walk: fn(&Case) -> End, case: &Case) -> Result<(), String> {
    let (tree, cwd, path) = case;
    let (found, expected) = (walk(case), model(tree, cwd.clone(), path, &mut 0));
    (found == expected).then_some(()).ok_or_else(|| format!("{found:?}, not {expected:?}"))
}

#[test]
fn a_path_leads_where_the_model_says() {
    holds(case(), |case| as_the_model(real, case));
}

#[test]
fn a_walk_that_takes_parents_before_links_is_caught() {
    fn parents_first((tree, cwd, path): &Case) -> End {
        let mut parts = Vec::new();
        for part in path.split('/') {
            let is_name = |it: &&str| !matches!(*it, ".." | "");
            if part == ".." && parts.last().is_some_and(is_name) {
                parts.pop();
            } else {
                parts.push(part);
            }
        }
        let nothing_left = if path.starts_with('/') { "/" } else { "." };
        let joined = Some(parts.join("/")).filter(|it| !it.is_empty());
        let path = joined.unwrap_or_else(|| nothing_left.to_owned());
        real(&(tree.clone(), cwd.clone(), path))
    }
    is_caught(case(), |case| as_the_model(parents_first, case));
}

#[test]
fn a_walk_that_follows_no_links_is_caught() {
    fn no_links((tree, cwd, path): &Case) -> End {
        let plain = tree.iter().map(|(names, entry)| match entry {
            Entry::Link(_) => (names.clone(), Entry::Dir),
            other => (names.clone(), other.clone()),
        });
        real(&(plain.collect(), cwd.clone(), path.clone()))
    }
    is_caught(case(), |case| as_the_model(no_links, case));
}

#[test]
fn what_is_resolved_resolves_to_itself() {
    holds(case(), |case| {
        let (tree, _, _) = case;
        let End::At(names) = real(case) else { return Ok(()) };
        let again = real(&(tree.clone(), Vec::new(), format!("/{}", names.join("/"))));
        (again == End::At(names)).then_some(()).ok_or_else(|| format!("{again:?}"))
    });
}

#[cfg(unix)]
mod on_disk {
    use std::fs;
    use std::os::unix::fs::symlink;

    use orch_core::{Access, PermissionLevel, ToolCall, ToolPolicy};
    use orch_policy::paths::{OsLinks, resolve_all, resolve_allowed};
    use tempfile::TempDir;

    use super::*;
    use crate::some::{at, engine};

    /// Makes the tree in a folder, which stands for the root in its absolute links.
    fn build(tree: &Tree) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let root = folder.path().canonicalize().expect("it exists");
        for (names, entry) in tree {
            let path = root.join(names.join("/"));
            match entry {
                Entry::File => fs::write(path, "").expect("a file can be made"),
                Entry::Dir => fs::create_dir(path).expect("a folder can be made"),
                Entry::Link(target) => {
                    symlink(below(&root, target), path).expect("a link can be made");
                }
            }
        }
        (folder, root)
    }

    fn below(root: &Path, path: &str) -> String {
        let root = root.to_str().expect("temporary folders are UTF-8");
        if path.starts_with('/') { format!("{root}{path}") } else { path.to_owned() }
    }

    /// Compares with what the operating system says of the same path.
    fn as_the_system(case: &Case) -> Result<(), String> {
        let (tree, cwd, path) = case;
        let (_folder, root) = build(tree);
        let (cwd, path) = (root.join(cwd.join("/")), below(&root, path));
        let ours = resolve(&path, &cwd, &OsLinks);
        let fine = match fs::canonicalize(cwd.join(&path)) {
            Ok(expected) => ours.as_ref().is_ok_and(|found| *found == expected),
            Err(error) => match error.kind() {
                // Missing at the end is fine for us; what is found must not be there.
                io::ErrorKind::NotFound => match &ours {
                    Ok(found) => fs::symlink_metadata(found).is_err(),
                    Err(error) => matches!(error, PathError::ParentOfMissing(_)),
                },
                io::ErrorKind::NotADirectory => matches!(ours, Err(PathError::NotADirectory(_))),
                _ => matches!(ours, Err(PathError::TooManyLinks(_))),
            },
        };
        fine.then_some(()).ok_or_else(|| format!("{ours:?} for {path} in {}", cwd.display()))
    }

    #[test]
    fn a_path_leads_where_the_system_says() {
        holds(case(), as_the_system);
    }

    #[test]
    fn a_file_that_is_written_lands_where_it_was_judged() {
        holds(case(), |(tree, cwd, path)| {
            let (_folder, root) = build(tree);
            let written = root.join(cwd.join("/")).join(below(&root, path));
            let judged = resolve(&below(&root, path), &root.join(cwd.join("/")), &OsLinks);
            // Only what can be made is of interest: a new file in a folder that exists.
            if fs::OpenOptions::new().write(true).create_new(true).open(&written).is_err() {
                return Ok(());
            }
            let landed = fs::canonicalize(&written).map_err(|error| error.to_string())?;
            let same = judged.as_ref().is_ok_and(|judged| *judged == landed);
            same.then_some(()).ok_or_else(|| format!("{judged:?}, not {}", landed.display()))
        });
    }

    #[test]
    fn a_link_out_of_the_allowed_folder_is_no_way_out() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let root = folder.path().canonicalize().expect("it exists");
        for name in ["data", "database", "secret"] {
            fs::create_dir(root.join(name)).expect("a folder can be made");
        }
        symlink("../secret", root.join("data/out")).expect("a link can be made");
        symlink("data", root.join("alias")).expect("a link can be made");
        let allowed = |path: &str| {
            let alias = root.join("alias").display().to_string();
            let policy = ToolPolicy::new("fs".to_owned(), PermissionLevel::ReadWrite);
            let policies = vec![policy.with_allowed_path(alias)];
            let policies = resolve_allowed(policies, &OsLinks).expect("it exists");
            let call = ToolCall::new("fs", Access::Write).with_path(path);
            let resolved = resolve_all(&call.paths, &root, &OsLinks).unwrap_or_default();
            let (mut engine, agent) = engine(&policies);
            engine.decide(at(0), agent, &call, &resolved).is_allowed()
        };
        for path in ["data/x", "alias/x", "data/out/../data/x", "secret/../data/new/x"] {
            assert!(allowed(path), "{path}");
        }
        for path in ["data/out/x", "data/../secret", "database/x", "data/out/../x", "no/../data"] {
            assert!(!allowed(path), "{path}");
        }
    }
}
