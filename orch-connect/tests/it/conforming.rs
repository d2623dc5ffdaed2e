//! Each connector against the checks that all of them have to pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use orch_connect::conformance::{Behaviour, Subject};
use orch_connect::{
    Containment, Context, Scripted, Subprocess, blocking_function, connector_conformance, function,
};
use orch_core::{Failure, Outcome};
use serde_json::{Value, json};

use crate::processes::{file, kept, mark, marked, with};
use crate::support::config;

/// Counts itself for as long as it lives.
struct Working(Arc<AtomicUsize>);

impl Working {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn outcome(behaviour: Behaviour, context: &Context) -> Outcome {
    match behaviour {
        Behaviour::Echo => Outcome::output(format!("[{}]", context.content())),
        Behaviour::FailTransiently => Failure::transient("not now").into(),
        _ => Failure::last("never").into(),
    }
}

fn async_function(behaviour: Behaviour) -> Subject {
    let count = Arc::new(AtomicUsize::new(0));
    let working = Arc::clone(&count);
    let connector = function(move |ctx: Context| {
        let working = Working::begin(&working);
        async move {
            if behaviour == Behaviour::TakeLong {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            drop(working);
            outcome(behaviour, &ctx)
        }
    });
    Subject::new(connector, config("function")).counting(move || count.load(Ordering::SeqCst))
}

fn blocking(behaviour: Behaviour) -> Subject {
    let count = Arc::new(AtomicUsize::new(0));
    let working = Arc::clone(&count);
    let connector = blocking_function(move |ctx: Context| {
        let _working = Working::begin(&working);
        if behaviour == Behaviour::TakeLong {
            std::thread::sleep(Duration::from_secs(3));
        }
        outcome(behaviour, &ctx)
    });
    Subject::new(connector, config("function")).counting(move || count.load(Ordering::SeqCst))
}

fn scripted(behaviour: Behaviour) -> Subject {
    let script = match behaviour {
        Behaviour::Echo => Scripted::new().echo().repeat(),
        Behaviour::FailTransiently => Scripted::new().fail("not now").repeat(),
        Behaviour::FailFinally => Scripted::new().fail_finally("never").repeat(),
        _ => Scripted::new().delay(Duration::from_secs(60)).done().repeat(),
    };
    Subject::new(script, config("scripted")).echoing_plainly()
}

fn program(containment: Containment, mut settings: Value) -> Subject {
    let mark = mark();
    settings["env"] = json!({ "TEST_MARK": mark });
    settings["grace_ms"] = json!(200);
    let connector = Subprocess::new(containment);
    Subject::new(connector, with(settings)).counting(move || marked(&mark).len())
}

fn once(containment: Containment, behaviour: Behaviour) -> Subject {
    let script = match behaviour {
        Behaviour::Echo => "printf '['; cat; printf ']'",
        Behaviour::FailTransiently => "echo not now >&2; exit 75",
        Behaviour::FailFinally => "echo never >&2; exit 65",
        _ => "sleep 60 & sleep 60",
    };
    program(containment, json!({ "command": ["sh", "-c", script] }))
}

fn jsonl(containment: Containment, behaviour: Behaviour) -> Subject {
    let fail = |line: &str| {
        let script = format!("while read -r line; do echo '{line}'; done");
        vec!["sh".to_owned(), "-c".to_owned(), script]
    };
    let command = match behaviour {
        Behaviour::Echo => vec!["python3".to_owned(), file("examples/agents/echo.py")],
        Behaviour::FailTransiently => fail(r#"{"type":"fail","error":"not now"}"#),
        Behaviour::FailFinally => fail(r#"{"type":"fail","error":"never","transient":false}"#),
        _ => vec!["sh".to_owned(), "-c".to_owned(), "sleep 60 & sleep 60".to_owned()],
    };
    program(containment, json!({ "command": command, "mode": "jsonl" }))
}

mod async_functions {
    super::connector_conformance!(super::async_function);
}

mod blocking_functions {
    super::connector_conformance!(super::blocking);
}

mod scripts {
    super::connector_conformance!(super::scripted);
}

mod once_kept {
    super::connector_conformance!(|it| super::once(super::kept(), it));
}

mod once_in_a_group {
    super::connector_conformance!(|it| super::once(super::Containment::Group, it));
}

mod jsonl_kept {
    super::connector_conformance!(|it| super::jsonl(super::kept(), it));
}

mod jsonl_in_a_group {
    super::connector_conformance!(|it| super::jsonl(super::Containment::Group, it));
}
