//! The journal as it is.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use orch_core::{AgentId, AgentMessage, Timestamp};
use orch_journal::{Journal, Record, Redactor, SqliteOptions};

use super::{TEXT_BYTES, senders};

pub(crate) fn run(path: &Path, n_senders: usize, time: Duration) -> f64 {
    let now = Timestamp::now();
    let journal = Journal::open(path, SqliteOptions::new(), Redactor::new(), now);
    let journal = Arc::new(journal.expect("the folder is there"));
    let agents: Arc<[AgentId]> = (0..n_senders).map(|_| AgentId::new()).collect();
    let text: Arc<str> = "x".repeat(TEXT_BYTES).into();
    senders(n_senders, time, move |sender| {
        let (journal, text, to) = (journal.clone(), text.clone(), agents[sender]);
        async move {
            let message = AgentMessage::new(AgentId::OUTSIDE, to, text);
            let accepted = Record::Accepted { message, origin_run: 0, origin_round: 0, step: None };
            let written = journal.commit(Timestamp::now(), vec![accepted]).await;
            written.expect("the disk works");
        }
    })
}
