//! Resolves the paths that policies allow, as the paths of calls are resolved.

use std::path::{Path, PathBuf};

use orch_core::ToolPolicy;

use super::{Links, PathError, resolve};
use crate::PolicyError;
use crate::rule::Rule;

/// An allowed path that cannot be resolved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AllowedPathError {
    /// The policy cannot be kept as it stands.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The path leads nowhere.
    #[error("failed to resolve the allowed path `{path}`")]
    Path {
        /// The path as the policy has it.
        path: String,
        /// Why it leads nowhere.
        source: PathError,
    },
    /// The path leads to a name that is not UTF-8, which a policy cannot hold.
    #[error("the allowed path `{path}` leads to `{resolved}`, which is not UTF-8")]
    NotUtf8 {
        /// The path as the policy has it.
        path: String,
        /// Where it leads.
        resolved: PathBuf,
    },
}

/// The policies with their allowed paths resolved, for
/// [`PolicyEngine::set_policies`](crate::PolicyEngine::set_policies).
///
/// Needed where an allowed path is, or lies below, a symbolic link: calls are judged by where they
/// lead, so the rule must be too. A link that changes afterwards does not widen the rule.
///
/// # Errors
///
/// [`AllowedPathError`] for the first path that cannot be resolved.
pub fn resolve_allowed(
    policies: Vec<ToolPolicy>,
    links: &impl Links,
) -> Result<Vec<ToolPolicy>, AllowedPathError> {
    policies.into_iter().map(|policy| resolve_policy(policy, links)).collect()
}

fn resolve_policy(
    mut policy: ToolPolicy,
    links: &impl Links,
) -> Result<ToolPolicy, AllowedPathError> {
    // A relative path would be resolved against nobody's folder, so it is refused before.
    Rule::from_policy(&policy)?;
    for path in policy.allowed_paths.iter_mut().flatten() {
        *path = resolve_one(path, links)?;
    }
    Ok(policy)
}

fn resolve_one(path: &str, links: &impl Links) -> Result<String, AllowedPathError> {
    let at_root = Path::new(std::path::MAIN_SEPARATOR_STR);
    let resolved = resolve(path, at_root, links)
        .map_err(|source| AllowedPathError::Path { path: path.to_owned(), source })?;
    let text = resolved.into_os_string().into_string();
    text.map_err(|it| AllowedPathError::NotUtf8 { path: path.to_owned(), resolved: it.into() })
}

#[cfg(test)]
mod tests {
    use std::io;

    use orch_core::PermissionLevel;

    use super::*;
    use crate::paths::Node;

    /// `/data` leads to `/srv`, and nothing else is there.
    struct OneLink;

    impl Links for OneLink {
        fn kind(&self, path: &Path) -> io::Result<Node> {
            let is_link = path == Path::new("/data");
            Ok(if is_link { Node::Link("/srv".into()) } else { Node::Missing })
        }
    }

    fn allows(path: &str) -> ToolPolicy {
        ToolPolicy::new("fs".into(), PermissionLevel::ReadOnly).with_allowed_path(path)
    }

    #[test]
    fn an_allowed_path_is_kept_as_what_it_leads_to() {
        let resolved = resolve_allowed(vec![allows("/data/in")], &OneLink);
        assert_eq!(resolved.expect("it can be resolved"), [allows("/srv/in")]);
    }

    #[test]
    fn a_relative_allowed_path_is_refused_before_it_is_resolved() {
        let refused = resolve_allowed(vec![allows("data")], &OneLink);
        assert!(matches!(refused, Err(AllowedPathError::Policy(_))), "{refused:?}");
    }
}
