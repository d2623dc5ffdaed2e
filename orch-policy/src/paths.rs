//! Paths as the operating system would resolve them, so that a rule judges what would be opened.
//!
//! [`resolve`] walks a path component by component and follows every symbolic link that it meets.
//! It asks the file system through [`Links`]; [`OsLinks`] is the real one.
//!
//! # What this does not promise
//!
//! The answer is true for the moment of the walk. Whoever may write in a folder on the way can
//! replace a part of the path by a link *after* the check and before the file is opened. Nothing
//! here prevents that: a layer that opens files has to open what was judged (on Linux with
//! `openat2` and `RESOLVE_BENEATH`, or component by component with `O_NOFOLLOW`), and a program that
//! opens files itself has to be confined by the kernel. Hard links and mounts are not seen at all.
//!
//! Names are compared byte by byte. On a file system that ignores case, a path in another case than
//! the rule's is denied, not allowed.

mod allowed;
mod links;
mod os;
mod walk;

pub use allowed::{AllowedPathError, resolve_allowed};
pub use links::{Links, Node};
pub use os::OsLinks;
pub use walk::{LINKS_MAX, PATH_BYTES_MAX, PathError, resolve, resolve_all};
