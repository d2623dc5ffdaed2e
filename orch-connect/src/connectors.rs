//! Connectors by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{ConnectError, Connector, DynConnector};

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

/// The connectors that need no code: `subprocess`, `scripted`, and `function`, which says how to
/// give it its code.
#[must_use]
pub fn built_in() -> Connectors {
    Connectors::new()
}
