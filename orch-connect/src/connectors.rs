//! Connectors by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::needs_code::NeedsCode;
use crate::{ConnectError, Connector, DynConnector, Scripted};
#[cfg(unix)]
use crate::{Containment, Subprocess};

/// Finds the connector for a `connector_type`.
#[derive(Clone, Debug, Default)]
pub struct Connectors {
    by_name: BTreeMap<String, Arc<dyn DynConnector>>,
}

impl Connectors {
    /// No connectors at all; see [`built_in`] for those of this crate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a connector, or replaces the one of that name.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, connector: impl Connector) -> Self {
        self.insert(name, connector);
        self
    }

    /// Adds a connector, or replaces the one of that name.
    pub fn insert(&mut self, name: impl Into<String>, connector: impl Connector) {
        self.by_name.insert(name.into(), Arc::new(connector));
    }

    /// The connector of that name.
    ///
    /// # Errors
    ///
    /// [`ConnectError::UnknownConnector`] with the names that there are.
    pub fn get(&self, name: &str) -> Result<Arc<dyn DynConnector>, ConnectError> {
        self.by_name.get(name).cloned().ok_or_else(|| ConnectError::UnknownConnector {
            name: name.to_owned(),
            known: self.by_name.keys().cloned().collect(),
        })
    }
}

/// The connectors that need no code: `subprocess` and `scripted`; and `function`, which says how to
/// give it its code.
///
/// Programs are contained by [`Containment::Group`], which says what escapes; see
/// [`built_in_with`]. There is no `subprocess` where the system is not Unix.
#[must_use]
pub fn built_in() -> Connectors {
    #[cfg(unix)]
    let connectors = built_in_with(Containment::Group);
    #[cfg(not(unix))]
    let connectors = without_programs();
    connectors
}

/// As [`built_in`], with programs contained in this way.
#[cfg(unix)]
#[must_use]
pub fn built_in_with(containment: Containment) -> Connectors {
    without_programs().with("subprocess", Subprocess::new(containment))
}

fn without_programs() -> Connectors {
    Connectors::new().with("function", NeedsCode).with("scripted", Scripted::from_settings())
}
