//! What every connector must hold to, as checks for the tests of any crate that writes one.
//!
//! A test names a function that makes a [`Subject`] of each [`Behaviour`]; one line tests it all.
//! It needs `tokio` with `macros`, `rt` and `time` among the test's own dependencies.
//!
//! ```
//! use orch_connect::conformance::{Behaviour, Subject};
//! use orch_connect::{Context, function};
//! use orch_core::{AgentConfig, AgentRole, Failure, Outcome};
//!
//! fn subject(behaviour: Behaviour) -> Subject {
//!     let connector = function(move |ctx: Context| async move {
//!         match behaviour {
//!             Behaviour::Echo => Outcome::output(format!("[{}]", ctx.content())),
//!             Behaviour::FailTransiently => Failure::transient("not now").into(),
//!             Behaviour::FailFinally => Failure::last("never").into(),
//!             _ => std::future::pending().await,
//!         }
//!     });
//!     let config = AgentConfig::new("subject".into(), AgentRole::Worker, "function".into());
//!     Subject::new(connector, config)
//! }
//!
//! mod conforms {
//!     orch_connect::connector_conformance!(super::subject);
//! }
//! ```

mod checks;
mod host;

pub use checks::{
    Behaviour, Subject, closing_is_bounded, content_survives, cut_off_turn_leaves_nothing,
    failures_keep_their_kind, sessions_do_not_mix,
};
pub use host::TestHost;

/// Tests a connector: one `#[tokio::test]` for each check of [`conformance`](crate::conformance).
///
/// The argument is a `fn(Behaviour) -> Subject`.
#[macro_export]
macro_rules! connector_conformance {
    ($subject:expr) => {
        #[::tokio::test]
        async fn content_survives() {
            $crate::conformance::content_survives($subject).await;
        }

        #[::tokio::test]
        async fn failures_keep_their_kind() {
            $crate::conformance::failures_keep_their_kind($subject).await;
        }

        #[::tokio::test]
        async fn cut_off_turn_leaves_nothing() {
            $crate::conformance::cut_off_turn_leaves_nothing($subject).await;
        }

        #[::tokio::test]
        async fn closing_is_bounded() {
            $crate::conformance::closing_is_bounded($subject).await;
        }

        #[::tokio::test]
        async fn sessions_do_not_mix() {
            $crate::conformance::sessions_do_not_mix($subject).await;
        }
    };
}
