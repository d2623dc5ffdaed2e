//! The walk along a path, component by component.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::{Links, Node};

/// Symbolic links that one walk may follow, as on Linux; one more is a loop.
pub const LINKS_MAX: u32 = 40;

/// Bytes that a path may have, as on Linux.
pub const PATH_BYTES_MAX: usize = 4095;

/// A path that could not be resolved; a call that names it is denied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// The path is empty.
    #[error("the path is empty")]
    Empty,
    /// The path has a NUL byte, which no name can have.
    #[error("the path has a NUL byte")]
    Nul,
    /// The path has more than [`PATH_BYTES_MAX`] bytes.
    #[error("the path has more than {PATH_BYTES_MAX} bytes")]
    TooLong,
    /// The folder that relative paths begin in is itself relative.
    #[error("the working directory `{0}` is not absolute")]
    RelativeCwd(PathBuf),
    /// The path has a drive or a share in front, which is not judged.
    #[error("the path has a drive or a share in front")]
    Prefix,
    /// More than [`LINKS_MAX`] links, most likely a loop.
    #[error("more than {LINKS_MAX} symbolic links, the last at `{0}`")]
    TooManyLinks(PathBuf),
    /// A `..` after something that does not exist; what it means is only known once that exists.
    #[error("`..` after `{0}`, which does not exist")]
    ParentOfMissing(PathBuf),
    /// A file stands where a folder must be.
    #[error("`{0}` is not a folder")]
    NotADirectory(PathBuf),
    /// The file system did not say what is there.
    #[error("failed to look at `{path}`")]
    Io {
        /// What was looked at.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

/// Where `path` leads: absolute, without `.`, `..`, symbolic links and trailing slashes.
///
/// A relative path begins in `cwd`, which must be absolute and may itself have links on its way.
/// `..` after a link goes to the parent of what the link leads to. The last components need not
/// exist, so that a new file can be judged before it is written; a link that leads to nothing yields
/// what would be made by writing to it.
///
/// # Errors
///
/// [`PathError`] for whatever the operating system would refuse too, and for `..` after something
/// that does not exist.
///
/// # Examples
///
/// ```
/// use std::path::Path;
/// use orch_policy::paths::{OsLinks, resolve};
///
/// let new_file = resolve("/no-such-folder/./x", Path::new("/"), &OsLinks)?;
/// assert_eq!(new_file, Path::new("/no-such-folder/x"));
/// # Ok::<(), orch_policy::paths::PathError>(())
/// ```
pub fn resolve(path: &str, cwd: &Path, links: &impl Links) -> Result<PathBuf, PathError> {
    if path.len() > PATH_BYTES_MAX {
        return Err(PathError::TooLong);
    }
    if !cwd.is_absolute() {
        return Err(PathError::RelativeCwd(cwd.to_owned()));
    }
    let mut walk = Walk::new(links);
    walk.push(Path::new(path))?;
    if Path::new(path).is_relative() {
        // What is pushed last is walked first.
        walk.push(cwd)?;
    }
    walk.run()
}

/// [`resolve`] for all paths of a call, in their order.
///
/// # Errors
///
/// That of the first path that could not be resolved.
pub fn resolve_all(
    paths: &[String],
    cwd: &Path,
    links: &impl Links,
) -> Result<Vec<PathBuf>, PathError> {
    paths.iter().map(|path| resolve(path, cwd, links)).collect()
}

struct Walk<'a, L> {
    links: &'a L,
    /// What is left, the next last.
    steps: Vec<Step>,
    /// Where the walk stands. Invariant: no component is a link.
    at: PathBuf,
    /// What stands there; never a link.
    standing: Node,
    n_links: u32,
}

enum Step {
    ToRoot,
    ToParent,
    To(OsString),
    /// A slash at the end: what stands here must not be a file.
    MustHold,
}

impl<'a, L: Links> Walk<'a, L> {
    fn new(links: &'a L) -> Self {
        let at = PathBuf::from(std::path::MAIN_SEPARATOR_STR);
        Self { links, steps: Vec::new(), at, standing: Node::Dir, n_links: 0 }
    }

    /// Puts a path in front of the steps that are left.
    fn push(&mut self, path: &Path) -> Result<(), PathError> {
        let bytes = path.as_os_str().as_encoded_bytes();
        if bytes.is_empty() {
            return Err(PathError::Empty);
        }
        if bytes.contains(&0) {
            return Err(PathError::Nul);
        }
        if names_a_folder(bytes) {
            self.steps.push(Step::MustHold);
        }
        for component in path.components().rev() {
            self.steps.push(match component {
                Component::Prefix(_) => return Err(PathError::Prefix),
                Component::RootDir => Step::ToRoot,
                Component::CurDir => continue,
                Component::ParentDir => Step::ToParent,
                Component::Normal(name) => Step::To(name.to_owned()),
            });
        }
        Ok(())
    }

    fn run(mut self) -> Result<PathBuf, PathError> {
        while let Some(step) = self.steps.pop() {
            match step {
                Step::ToRoot => self.stand(std::path::MAIN_SEPARATOR_STR.into(), Node::Dir),
                Step::ToParent => self.leave()?,
                Step::To(name) => self.enter(name)?,
                Step::MustHold => self.must_hold()?,
            }
        }
        Ok(self.at)
    }

    fn stand(&mut self, at: PathBuf, standing: Node) {
        (self.at, self.standing) = (at, standing);
    }

    fn leave(&mut self) -> Result<(), PathError> {
        self.must_hold()?;
        if self.standing == Node::Missing {
            return Err(PathError::ParentOfMissing(self.at.clone()));
        }
        // The parent of the root is the root, and every other parent is a folder.
        self.at.pop();
        Ok(())
    }

    fn enter(&mut self, name: OsString) -> Result<(), PathError> {
        self.must_hold()?;
        let next = self.at.join(name);
        if self.standing == Node::Missing {
            // What does not exist holds nothing, so there is nothing to ask for.
            self.stand(next, Node::Missing);
            return Ok(());
        }
        match self.links.kind(&next) {
            Ok(Node::Link(target)) => self.follow(next, &target),
            Ok(standing) => {
                self.stand(next, standing);
                Ok(())
            }
            Err(source) => Err(PathError::Io { path: next, source }),
        }
    }

    /// Goes on with the target, from the folder in which the link stands.
    fn follow(&mut self, link: PathBuf, target: &Path) -> Result<(), PathError> {
        self.n_links += 1;
        if self.n_links > LINKS_MAX {
            return Err(PathError::TooManyLinks(link));
        }
        self.push(target)
    }

    fn must_hold(&self) -> Result<(), PathError> {
        match self.standing {
            Node::File => Err(PathError::NotADirectory(self.at.clone())),
            _ => Ok(()),
        }
    }
}

/// Whether a path ends in a slash or in `.`; `components` does not tell.
fn names_a_folder(path: &[u8]) -> bool {
    let last = path.rsplit(|&byte| std::path::is_separator(char::from(byte))).next();
    matches!(last, Some(b"" | b"."))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;

    use super::*;

    /// A few nodes, everything else is missing. Counts how often it is asked.
    struct Few {
        nodes: BTreeMap<PathBuf, Node>,
        n_asked: Cell<usize>,
    }

    impl Links for Few {
        fn kind(&self, path: &Path) -> io::Result<Node> {
            self.n_asked.set(self.n_asked.get() + 1);
            if path == Path::new("/secret") {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            Ok(self.nodes.get(path).cloned().unwrap_or(Node::Missing))
        }
    }

    fn few() -> Few {
        let link = |target: &str| Node::Link(target.into());
        let nodes = [
            ("/lab", Node::Dir),
            ("/lab/ann", Node::Dir),
            ("/lab/ann/file", Node::File),
            ("/lab/ann/up", link("..")),
            ("/lab/ann/srv", link("/srv/www")),
            ("/lab/ann/new", link("made/later")),
            ("/lab/ann/odd", link("file/")),
            ("/lab/ann/zero", link("a\0b")),
            ("/lab/ann/ring", link("gnir")),
            ("/lab/ann/gnir", link("ring")),
            ("/srv", Node::Dir),
            ("/srv/www", Node::Dir),
        ];
        let nodes = nodes.into_iter().map(|(path, node)| (PathBuf::from(path), node)).collect();
        Few { nodes, n_asked: Cell::new(0) }
    }

    #[track_caller]
    fn leads(path: &str, expected: &str) {
        let found = resolve(path, Path::new("/lab/ann"), &few()).expect("it can be resolved");
        assert_eq!(found.to_str(), Some(expected));
    }

    #[track_caller]
    fn refused(path: &str, expected: &str) {
        let error = resolve(path, Path::new("/lab/ann"), &few()).expect_err("it is refused");
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_relative_path_begins_in_the_working_directory() {
        leads("file", "/lab/ann/file");
        leads("./file", "/lab/ann/file");
        leads(".", "/lab/ann");
        leads("..", "/lab");
        leads("/srv//./www/", "/srv/www");
    }

    #[test]
    fn the_parent_of_a_link_is_the_parent_of_its_target() {
        leads("srv/..", "/srv");
        leads("srv/../x", "/srv/x");
        leads("up/..", "/");
    }

    #[test]
    fn the_parent_of_the_root_is_the_root() {
        leads("/../../srv", "/srv");
        leads("../../../../..", "/");
    }

    #[test]
    fn what_does_not_exist_yet_can_be_judged() {
        leads("a/b/c", "/lab/ann/a/b/c");
        leads("a/", "/lab/ann/a");
        leads("a/./b", "/lab/ann/a/b");
        leads("new", "/lab/ann/made/later");
        leads("new/x", "/lab/ann/made/later/x");
    }

    #[test]
    fn a_parent_of_what_does_not_exist_is_refused() {
        refused("a/../file", "`..` after `/lab/ann/a`, which does not exist");
        refused("a/b/../../../etc", "`..` after `/lab/ann/a/b`, which does not exist");
    }

    #[test]
    fn a_file_is_no_folder() {
        let expected = "`/lab/ann/file` is not a folder";
        for path in ["file/x", "file/", "file/.", "file/..", "file/../x", "odd"] {
            refused(path, expected);
        }
    }

    #[test]
    fn a_ring_of_links_is_refused() {
        refused("ring/x", "more than 40 symbolic links, the last at `/lab/ann/ring`");
    }

    #[test]
    fn forty_links_are_followed_and_one_more_is_not() {
        let ups = |n: usize| "up/ann/".repeat(n);
        leads(&ups(40), "/lab/ann");
        refused(&ups(41), "more than 40 symbolic links, the last at `/lab/ann/up`");
    }

    #[test]
    fn what_is_no_path_is_refused() {
        refused("", "the path is empty");
        refused("fi\0le", "the path has a NUL byte");
        refused("zero", "the path has a NUL byte");
        refused(&"../ann/".repeat(600), "the path has more than 4095 bytes");
        let relative = resolve("x", Path::new("lab"), &few()).expect_err("it is refused");
        assert_eq!(relative.to_string(), "the working directory `lab` is not absolute");
    }

    #[test]
    fn what_cannot_be_looked_at_is_refused() {
        refused("/secret/x", "failed to look at `/secret`");
    }

    #[test]
    fn nothing_is_asked_below_what_is_missing() {
        let few = few();
        resolve(&"x/".repeat(2_000), Path::new("/"), &few).expect("it can be resolved");
        assert_eq!(few.n_asked.get(), 1);
    }

    #[test]
    fn an_absolute_path_needs_no_working_directory() {
        let found = resolve("/srv/x", Path::new("/lab/ann/ring"), &few());
        assert_eq!(found.expect("it can be resolved"), Path::new("/srv/x"));
        assert!(resolve("x", Path::new("/lab/ann/ring"), &few()).is_err());
    }

    #[test]
    fn the_working_directory_is_resolved_too() {
        let found = resolve("../x", Path::new("/lab/ann/srv"), &few());
        assert_eq!(found.expect("it can be resolved"), Path::new("/srv/x"));
    }
}
