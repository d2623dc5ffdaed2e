//! What can be wrong with a file before anything in it is read.

use std::fs;
use std::path::Path;

use orch_team::{LoadError, Sets, TEAM_FILE_BYTES_MAX, Team};

const GOOD: &str = "[agents.a]\ncommand = [\"cat\"]\n[flow]\npipe = [\"a\"]\n";

fn load(path: &Path) -> Result<Team, LoadError> {
    Team::load(path, &Sets::new())
}

/// What is said, with `DIR` in place of the folder.
fn refusal(folder: &Path, name: &str) -> String {
    let error = load(&folder.join(name)).unwrap_err().to_string();
    error.replace(&folder.display().to_string(), "DIR")
}

#[test]
fn a_team_is_named_after_its_file_or_folder_and_knows_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("digest");
    fs::create_dir(&inner).unwrap();
    for (file, name) in [("team.toml", "digest"), ("weekly.toml", "weekly")] {
        fs::write(inner.join(file), GOOD).unwrap();
        let team = load(&inner.join(file)).unwrap();
        assert_eq!(team.name, name);
        assert_eq!(team.agents[0].config.settings["cwd"], inner.to_str().unwrap());
    }
}

#[test]
fn what_is_no_team_file_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("binary.toml", b"name = \"a\"\n\xff\xfe\n");
    write("large.toml", &vec![b'#'; usize::try_from(TEAM_FILE_BYTES_MAX).unwrap() + 1]);
    fs::create_dir(folder.path().join("empty")).unwrap();
    let refusal = |name: &str| refusal(folder.path(), name);
    assert_eq!(refusal("none.toml"), "DIR/none.toml: there is no such file");
    assert_eq!(refusal("empty"), "DIR/empty is a folder; name the team file in it");
    assert_eq!(refusal("binary.toml"), "DIR/binary.toml is not a text file (line 2 is not UTF-8)");
    assert_eq!(
        refusal("large.toml"),
        "DIR/large.toml is larger than 1048576 bytes, which no team file is"
    );
    write("team.toml", GOOD.as_bytes());
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(error.ends_with("team.toml?"), "{error}");
}

#[test]
fn a_file_that_says_something_wrong_is_named_as_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.toml");
    fs::write(&path, "nam = 1\n").unwrap();
    let error = load(&path).unwrap_err();
    assert!(error.to_string().contains(&format!("--> {}:1:1", path.display())), "{error}");
}
