//! A program that is its own keeper: it runs `sort` as an agent, and nothing that `sort` might start
//! outlives it.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|arg| arg == "__keeper") {
        // Before anything else is done in this process.
        return orch_connect::keeper::main(args);
    }
    match host::run() {
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("a keeper needs Linux");
    ExitCode::FAILURE
}

#[cfg(target_os = "linux")]
mod host {
    //! The program itself.

    use std::error::Error;
    use std::sync::Arc;

    use orch_connect::conformance::TestHost;
    use orch_connect::{Containment, KeeperCommand, SessionSpec, built_in_with};
    use orch_core::{AgentConfig, AgentId, AgentRole, Outcome};

    #[tokio::main(flavor = "current_thread")]
    pub(crate) async fn run() -> Result<String, Box<dyn Error>> {
        let keeper = KeeperCommand::this_program(["__keeper"]);
        let connector = built_in_with(Containment::Keeper(keeper)).get("subprocess")?;
        let config = AgentConfig::new("sorter".into(), AgentRole::Worker, "subprocess".into())
            .with_setting("command", vec!["sort", "-u"]);
        connector.check(&config)?;
        let mut session = connector.open(SessionSpec::new(AgentId::new(), config.into())).await?;
        let outcome = session.turn(Arc::new(TestHost::new()).context("b\na\nb")).await;
        session.close().await;
        match outcome {
            Outcome::Ack { output } => Ok(output.unwrap_or_default().to_string()),
            Outcome::Nack(failure) => Err(failure.into()),
            other => Err(format!("{other:?}").into()),
        }
    }
}
