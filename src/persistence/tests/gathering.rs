//! What a group gathers before it is committed.

use super::*;

#[actix::test]
async fn a_group_takes_what_comes_while_others_have_their_turn() {
    const EVENTS: usize = 40;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("hub.db").display());
    let config = DatabaseConfig { url, ..DatabaseConfig::default() };
    let metrics = Metrics::new();
    let retention = RetentionConfig::default();
    let (actor, _ended) =
        Persistence::new(&config, &retention, 100, None, metrics.clone()).unwrap();
    // On the thread of whoever asks it, as if both had one core.
    let store = actor.start();
    let (sender, mut answers) = mpsc::unbounded_channel();
    let reply = Probe(sender).start().recipient();
    for _ in 0..EVENTS {
        let events = vec![fresh("added", "alice")];
        store.try_send(Append { group: 0, events, reply: reply.clone() }).unwrap();
        tokio::task::yield_now().await;
    }
    let mut appended = 0;
    while appended < EVENTS {
        appended += answers.recv().await.unwrap().0.len();
    }
    let groups = groups(&metrics);
    assert!((1..=EVENTS / 3).contains(&groups), "{groups} groups");
}
