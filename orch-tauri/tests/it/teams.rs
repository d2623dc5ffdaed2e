//! Teams that the host opened from a file.

use orch_team::{Sets, Team};
use serde_json::json;
use tempfile::TempDir;

use crate::page::{Page, page};

const TEAM: &str = r#"
[agents.shout]
command = ["tr", "a-z", "A-Z"]

[agents.last]
command = ["sh", "-c", "cat; echo !"]
settings.env = { API_KEY = "s3cret" }

[flow]
pipe = ["shout", "last"]
"#;

/// A team, and the folder of its file, which has to stay while it runs.
fn team() -> (Team, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("team.toml");
    std::fs::write(&file, TEAM).unwrap();
    (Team::load(&file, &Sets::new()).unwrap(), folder)
}

fn open(page: &Page) -> TempDir {
    let (team, folder) = team();
    tauri::async_runtime::block_on(page.orchestrators.open_team("report", team)).unwrap();
    folder
}

#[test]
fn a_page_starts_the_team_of_the_host_as_often_as_it_likes() {
    let page = page();
    let _folder = open(&page);
    for word in ["one", "two"] {
        let ended = page.ok("start_orchestrator", json!({ "run_id": "report", "inputs": [word] }));
        assert_eq!(ended["stop_reason"], "Completed");
        let answer = json!({ "content": format!("{}!", word.to_uppercase()), "partial": false,
            "problems": [] });
        assert_eq!(ended["answer"], answer);
        let agents = page.ok("list_agents", json!({ "run_id": "report" }));
        assert_eq!(agents.as_array().unwrap().len(), 2);
    }
}

#[test]
fn a_page_does_not_see_the_settings_of_the_host() {
    let page = page();
    let _folder = open(&page);
    let agents = page.ok("list_agents", json!({ "run_id": "report" }));
    assert!(!agents.to_string().contains("s3cret") && !agents.to_string().contains("\"tr\""));
    assert_eq!(agents[0]["config"]["settings"], json!({}));
}

#[test]
fn the_file_has_the_guards_and_inputs_are_for_teams() {
    let page = page();
    let _folder = open(&page);
    let create = json!({ "request": {}, "run_id": "report" });
    assert_eq!(page.error("create_orchestrator", create).0, "invalid_arguments");
    let empty = json!({ "run_id": "report", "inputs": ["x", ""] });
    assert_eq!(page.error("start_orchestrator", empty).0, "flow");
    page.ok("create_orchestrator", json!({ "request": {} }));
    assert_eq!(page.error("start_orchestrator", json!({ "inputs": ["x"] })).0, "invalid_arguments");
    let (again, _folder) = team();
    let again = tauri::async_runtime::block_on(page.orchestrators.open_team("report", again));
    assert!(again.is_err());
}
