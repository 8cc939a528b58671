//! The program's commands beside a hub that runs, and without one.

use std::path::Path;
use std::process::Command;

use crate::program::Program;

/// Runs the program to its end; says whether it was content, and what it said to people.
fn run(folder: &Path, args: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_staffetta"))
        .args(args)
        .current_dir(folder)
        .env_remove("STAFFETTA_LOG")
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn health_says_whether_the_hub_of_the_configuration_lives() {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let program = Program::start("").await;
        let listen = format!("0.0.0.0:{}", program.port);
        for args in
            [&["health", "--listen", &listen][..], &["health", "--ready", "--listen", &listen]]
        {
            let (is_well, said) = run(program.folder.path(), args);
            assert!(is_well, "{said}");
        }
        program.signal("TERM");
        let (_, folder) = program.ended().await;
        let (is_well, said) = run(folder.path(), &["health", "--listen", &listen]);
        assert!(!is_well && said.contains("http://127.0.0.1:"), "{said}");
    });
}

#[test]
fn an_event_for_nobody_is_refused_before_it_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let (is_done, said) = run(folder.path(), &["publish", "", "added", "--api-key", "k"]);
    assert!(!is_done);
    assert_eq!(said.trim(), "the user must not be empty");
}

#[test]
fn a_schema_goes_only_after_a_yes() {
    let folder = tempfile::tempdir().unwrap();
    assert!(run(folder.path(), &["migrate"]).0);
    let size = || std::fs::metadata(folder.path().join("staffetta.db")).unwrap().len();
    let before = size();
    let (is_done, said) = run(folder.path(), &["migrate", "--down"]);
    assert!(!is_done && said.contains("--yes"), "{said}");
    assert_eq!(size(), before);
    let (is_done, said) = run(folder.path(), &["migrate", "--down", "--yes"]);
    assert!(is_done, "{said}");
}
