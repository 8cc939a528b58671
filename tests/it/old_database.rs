//! Databases that are there before the hub: one of the first schema, and one from a backup.

use serde_json::json;

use crate::device::Device;
use crate::program::{API_KEY, Program};
use crate::world::{Stop, TestHub, on_both};

/// Every table there may be, now and then.
const TABLES: [&str; 15] = [
    "events",
    "event_places",
    "users",
    "sessions",
    "broadcasts",
    "notes",
    "note_members",
    "note_events",
    "dead_letters",
    "nodes",
    "slots",
    "node_numbers",
    "note_turns",
    "pushes",
    "__diesel_schema_migrations",
];

#[test]
fn a_database_of_the_first_schema_is_brought_up_to_date_and_nothing_is_lost() {
    on_both(|database| async move {
        let mut hub = TestHub::start(database, |_| {}).await;
        hub.end(Stop::Drop).await;
        for table in TABLES {
            hub.execute(&format!("DROP TABLE IF EXISTS {table}"));
        }
        hub.execute(include_str!("first_schema.sql"));
        let hub = hub.restart(Stop::Drop).await;
        let (mut tab, ok) = Device::replaying(&hub, "alice", "tab").await;
        assert_eq!((&ok["cursor"], &ok["need_full_sync"]), (&json!(1), &json!(false)));
        let event = tab.acked(2).await;
        assert_eq!(event["event_id"], "01890000-0000-7000-8000-000000000002");
        tab.acked(3).await;
        hub.publish("alice", "added", json!({"n": 4})).await;
        tab.acked(4).await;
        let (_phone, ok) = Device::attach(&hub, "bob", json!("phone"), json!({})).await;
        assert_eq!((&ok["cursor"], &ok["need_full_sync"]), (&json!(7), &json!(true)));
        let receipt = hub.publish("bob", "added", json!({})).await;
        assert_eq!(receipt["seq"], 8, "a pruned log goes on where it was");
        let note = hub.call("GET", "/api/v1/notes", None).await;
        assert_eq!(note.status, 200, "{}", note.text);
    });
}

#[test]
fn a_copy_made_while_the_hub_runs_can_be_started_in_its_place() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let program = Program::start("").await;
        let path = "/api/v1/users/alice/events";
        for n in 1..=20 {
            let body = format!(r#"{{"type":"added","data":{{"n":{n}}}}}"#);
            assert_eq!(program.call(API_KEY, "POST", path, &body).await.0, 201);
        }
        let restored = tempfile::tempdir().unwrap();
        // As docs/operations.md has it.
        backup(&program.file("staffetta.db"), &restored.path().join("staffetta.db"));
        std::fs::copy(program.file("staffetta.secret"), restored.path().join("staffetta.secret"))
            .unwrap();
        let token = program.token("alice", &[]);
        drop(program);
        let program = Program::start_in(restored, "").await;
        let (status, text) = program.call(&token, "GET", "/api/v1/sync?cursor=0", "").await;
        assert_eq!(status, 200, "{text}");
        assert!(text.contains(r#""n":20"#), "{text}");
        let (_, receipt) = program.call(API_KEY, "POST", path, r#"{"type":"a"}"#).await;
        assert!(receipt.contains(r#""seq":21"#), "{receipt}");
    });
}

/// `sqlite3 FROM "VACUUM INTO 'TO'"`.
fn backup(from: &std::path::Path, to: &std::path::Path) {
    use diesel::connection::SimpleConnection;
    use diesel::{Connection, SqliteConnection};

    let mut connection = SqliteConnection::establish(from.to_str().unwrap()).unwrap();
    connection.batch_execute(&format!("VACUUM INTO '{}'", to.display())).unwrap();
}
