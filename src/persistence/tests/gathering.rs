//! What a group gathers before it is committed.

use super::*;
use crate::persistence::group::Write;

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

#[actix::test]
async fn large_events_and_what_may_be_a_repetition_fill_a_group_sooner() {
    let (sender, _answers) = mpsc::unbounded_channel();
    let reply = Probe(sender).start().recipient();
    let weight = |events| Write::Append(Append { group: 0, events, reply: reply.clone() }).weight();
    let large = |event: AppendEvent| {
        let text = "x".repeat(9_000);
        let id = event.content.id;
        let new = NewEvent::new("added").data(&text).unwrap();
        AppendEvent { content: Arc::new(EventContent::fix(new, id, Timestamp(1))), ..event }
    };
    let (small, known) = (fresh("added", "alice"), named(EventId(Uuid::now_v7()), "f", "alice"));
    assert_eq!(weight(vec![small.clone()]), 1);
    assert_eq!(weight(vec![large(small.clone())]), 3);
    assert_eq!(weight(vec![known.clone()]), 4);
    assert_eq!(weight(vec![small, large(known)]), 7);
    assert_eq!(Write::SaveFloors(SaveFloors(Vec::new())).weight(), 0);
}
