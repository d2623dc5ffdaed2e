//! The real file system: the only input and output of this crate.

use std::fs;
use std::io;
use std::path::Path;

use super::{Links, Node};

/// Reads symbolic links of the file system that this process sees.
///
/// A link in `/proc` is an error: `/proc/self` and much below it lead elsewhere in every process, so
/// what this process sees says nothing about what the agent's would open.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsLinks;

impl Links for OsLinks {
    fn kind(&self, path: &Path) -> io::Result<Node> {
        let kind = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata.file_type(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Node::Missing),
            Err(error) => return Err(error),
        };
        if kind.is_symlink() {
            return read_link(path);
        }
        Ok(if kind.is_dir() { Node::Dir } else { Node::File })
    }
}

fn read_link(path: &Path) -> io::Result<Node> {
    if path.starts_with("/proc") {
        let message = "a link in `/proc` leads elsewhere in every process";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    fs::read_link(path).map(Node::Link)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::paths::{PathError, resolve};

    #[test]
    fn a_link_in_proc_is_refused() {
        for path in ["/proc/self/cwd/x", "/proc/self/root", "/proc/thread-self"] {
            let refused = resolve(path, Path::new("/"), &OsLinks);
            assert!(matches!(refused, Err(PathError::Io { .. })), "{path}: {refused:?}");
        }
    }
}
