//! The whole program: our contenders end what they can express, and the reports are written. Of the
//! peers one is enough here: xtra was seen to hang in a round of `ping`, which a table says and which
//! is no mistake of ours.

use std::path::Path;
use std::process::Command;

/// Runs the benchmarks, and answers what they printed.
fn bench(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orch-bench-glibc"));
    let output = command.args(arguments).args(["--rounds", "1", "--no-wait"]).output();
    let output = output.expect("the program was built for this test");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
    said(&output.stdout)
}

#[test]
fn each_of_ours_ends_what_it_can_express() {
    let only = "orch,orchestrator,mailbox,tokio,tokio-x4";
    let tables = bench(&["ping", "one", "mixed", "sleep", "--only", only]);
    let titles = ["Ping-pong", "One hot agent, external", "One hot agent, mixed", "Handlers"];
    for word in titles.into_iter().chain(["orchestrator", "mailbox"]) {
        assert!(tables.contains(word), "{word} is not in\n{tables}");
    }
}

#[test]
fn reports_are_written_where_they_are_asked_for() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reports");
    let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (json, html, svg) = (file("raw.json"), file("page.html"), file("plots"));
    bench(&["ping", "--only", "orchestrator", "--json", &json, "--html", &html, "--svg", &svg]);
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let raw: serde_json::Value = serde_json::from_str(&read(&json)).unwrap();
    assert_eq!(raw["cells"][0]["contender"], "orchestrator");
    assert!(raw["cells"][0]["outcome"]["Ok"]["wall"].as_f64().unwrap() > 0.0, "{raw}");
    assert!(read(&html).contains("Ping-pong"));
    assert!(read(&format!("{svg}/ping.svg")).contains("orchestrator"));
}
