//! A SQLite database has one hub, and its files one reader: their owner.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use staffetta::{Config, Hub};

use crate::program::{API_KEY, Program};

/// Runs the program in a running one's folder, to its end.
fn beside(program: &Program, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_staffetta"))
        .args(args)
        .current_dir(program.folder.path())
        .env_remove("STAFFETTA_LOG")
        .output()
        .unwrap()
}

fn refused(output: &Output, program: &Program) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    let file = fs::canonicalize(program.file("staffetta.db")).unwrap();
    let expected = format!("the database {} (database.url) is in use", file.display());
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn a_second_hub_is_refused_and_commands_that_need_no_database_are_not() {
    actix_web::rt::System::new().block_on(async {
        let program = Program::start("").await;
        refused(&beside(&program, &["serve", "--listen", "127.0.0.1:0"]), &program);
        refused(&beside(&program, &["migrate"]), &program);
        refused(&beside(&program, &["migrate", "--down", "--yes"]), &program);
        let mut config = Config::default();
        let file = program.file("staffetta.db");
        config.database.url = format!("sqlite://{}", file.display());
        config.auth.secret_file = program.file("staffetta.secret");
        let embedded = Hub::builder().config(config).start().await;
        let problem = embedded.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(problem.contains("staffetta.db (database.url) is in use"), "{problem}");
        assert!(beside(&program, &["token", "alice"]).status.success());
        let path = "/api/v1/users/alice/events";
        let (status, text) = program.call(API_KEY, "POST", path, r#"{"type":"a"}"#).await;
        assert_eq!(status, 201, "the first goes on: {text}");
    });
}

#[test]
fn a_hub_whose_address_is_taken_makes_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_staffetta"))
        .args(["serve", "--listen", &address])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    let expected = format!("cannot listen on {address} (server.listen, --listen)");
    assert!(said.contains(&expected), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "no database, no secret");
}

#[test]
fn a_killed_hub_leaves_its_database_to_the_next() {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let program = Program::start("").await;
        for name in ["staffetta.db", "staffetta.db-wal", "staffetta.db-shm", "staffetta.db.lock"] {
            let mode = fs::metadata(program.file(name)).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{name}");
        }
        program.signal("KILL");
        let (status, folder) = program.ended().await;
        assert!(!status.success());
        let next = Program::start_in(folder, "").await;
        next.signal("TERM");
        let (status, folder) = next.ended().await;
        assert!(status.success());
        let migrated = Command::new(env!("CARGO_BIN_EXE_staffetta"))
            .arg("migrate")
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    });
}
