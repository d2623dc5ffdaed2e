//! What the page of the example may do. A change here is a decision, not a slip.

use std::path::Path;

use serde_json::{Value, json};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json_of(path: &str) -> Value {
    serde_json::from_str(&read(path)).expect("the file is JSON")
}

#[test]
fn the_page_may_use_the_orchestrators_and_nothing_else() {
    let capability = json_of("capabilities/main.json");
    assert_eq!(capability["windows"], json!(["main"]));
    assert_eq!(capability["permissions"], json!(["orchestrator:default"]));
    assert_eq!(capability.get("remote"), None, "no page from elsewhere");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("capabilities");
    let files = std::fs::read_dir(folder).expect("the folder is there");
    assert_eq!(files.count(), 1, "there is one capability");
    let config = json_of("tauri.conf.json");
    assert_eq!(config["app"]["security"]["capabilities"], json!(["main"]));
    assert_eq!(config["app"].get("withGlobalTauri"), None);
}

#[test]
fn the_page_runs_its_own_scripts_and_reaches_no_network() {
    let config = json_of("tauri.conf.json");
    let policy = config["app"]["security"]["csp"].as_str().expect("there is a policy");
    let rules: Vec<&str> = policy.split("; ").collect();
    assert_eq!(
        rules,
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src ipc: http://ipc.localhost",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    );
}

#[test]
fn no_text_becomes_html() {
    let html = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "DOMParser",
        "srcdoc",
        "setHTML",
        "createContextualFragment",
        "eval(",
        "new Function",
    ];
    for file in ["ui/main.js", "ui/index.html", "page/main.ts", "page/view.ts", "page/board.ts"] {
        let text = read(file);
        let found: Vec<&&str> = html.iter().filter(|word| text.contains(**word)).collect();
        assert!(found.is_empty(), "{file} has {found:?}");
    }
}
