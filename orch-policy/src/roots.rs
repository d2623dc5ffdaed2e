//! A set of paths, given by the folders that hold them.

use std::path::{Component, Path, PathBuf};

/// All paths that lie within one of the roots, the roots included.
///
/// Compared component by component: `/database` does not lie within `/data`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Roots {
    /// Invariant: absolute, without `..`, ascending, and none lies within another.
    roots: Vec<PathBuf>,
}

impl Roots {
    /// The roots must be resolved, see [`is_resolved`].
    pub(crate) fn new(mut roots: Vec<PathBuf>) -> Self {
        debug_assert!(roots.iter().all(|root| is_resolved(root)), "an unresolved root");
        roots.sort();
        // A folder comes before all that it holds, and nothing else stands between them.
        roots.dedup_by(|later, earlier| later.starts_with(&*earlier));
        Self { roots }
    }

    pub(crate) fn contain(&self, path: &Path) -> bool {
        self.roots.iter().any(|root| path.starts_with(root))
    }

    /// The paths that lie within both.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let ours = self.roots.iter().filter(|root| other.contain(root));
        let theirs = other.roots.iter().filter(|root| self.contain(root));
        Self::new(ours.chain(theirs).cloned().collect())
    }

    /// A root with paths that do not all lie within `other`.
    pub(crate) fn beyond(&self, other: &Self) -> Option<&Path> {
        // A folder can hold any name, so several roots never cover one between them.
        self.roots.iter().map(PathBuf::as_path).find(|root| !other.contain(root))
    }

    pub(crate) fn to_strings(&self) -> Vec<String> {
        self.roots.iter().map(|root| root.display().to_string()).collect()
    }
}

/// Whether a path can be judged by its components alone: absolute, and without `..`.
pub(crate) fn is_resolved(path: &Path) -> bool {
    path.is_absolute() && !path.components().any(|it| it == Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(paths: &[&str]) -> Roots {
        Roots::new(paths.iter().map(PathBuf::from).collect())
    }

    #[test]
    fn a_longer_name_does_not_lie_within_a_shorter_one() {
        let data = roots(&["/data"]);
        assert!(data.contain(Path::new("/data")) && data.contain(Path::new("/data/x")));
        assert!(!data.contain(Path::new("/database")) && !data.contain(Path::new("/")));
    }

    #[test]
    fn a_root_within_another_is_dropped() {
        assert_eq!(roots(&["/a/b", "/a-b", "/a", "/a", "/a/c/"]), roots(&["/a", "/a-b"]));
    }

    #[test]
    fn both_hold_the_deeper_roots() {
        let both = roots(&["/a", "/b/c"]).and(&roots(&["/a/x", "/b", "/d"]));
        assert_eq!(both, roots(&["/a/x", "/b/c"]));
        assert_eq!(roots(&["/a"]).and(&roots(&["/b"])), roots(&[]));
    }

    #[test]
    fn what_lies_beyond_is_named() {
        assert_eq!(roots(&["/a/x", "/b"]).beyond(&roots(&["/a"])), Some(Path::new("/b")));
        assert_eq!(roots(&[]).beyond(&roots(&[])), None);
        assert_eq!(roots(&["/a"]).beyond(&roots(&["/a/x", "/a/y"])), Some(Path::new("/a")));
    }
}
