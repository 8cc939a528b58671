//! What a device of a user does with the frames it gets: apply once, ack always.
//!
//! Pure: frames in, steps out.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

/// Names of applied events that are remembered, to recognise a redelivery.
const KNOWN_MAX: usize = 10_000;

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Print an event.
    Print(String),
    /// Tell the person something.
    Note(String),
    /// Send a frame: an ack, after the event was printed.
    Send(String),
    /// Keep the session's name.
    Keep(String),
    /// As many events as asked for were printed and acked.
    Done,
}

/// What a close code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    ComeBack,
    FreshToken,
    Stay,
}

/// What is the hub's own of an event. The rest is the application's, and is looked at by nobody here: it
/// may be nested deeper, or hold larger numbers, than this program could read.
#[derive(Deserialize)]
struct Named {
    event_id: String,
    seq: Option<i64>,
}

/// The device.
#[derive(Debug)]
pub(super) struct Follower {
    session: Option<String>,
    offline: String,
    acks: bool,
    left: Option<u64>,
    known: HashSet<String>,
    order: VecDeque<String>,
    reconnect_after: Option<Duration>,
    was_attached: bool,
    was_useful: bool,
    /// Events that arrived again, one after the other.
    repeated: u64,
}

impl Follower {
    pub(super) fn new(
        session: Option<String>,
        offline: &str,
        acks: bool,
        count: Option<u64>,
    ) -> Self {
        Self {
            session,
            offline: offline.to_owned(),
            acks,
            left: count,
            known: HashSet::new(),
            order: VecDeque::new(),
            reconnect_after: None,
            was_attached: false,
            was_useful: false,
            repeated: 0,
        }
    }

    /// Starts a connection, which may fail.
    pub(super) fn connecting(&mut self) {
        self.reconnect_after = None;
        self.was_attached = false;
        self.was_useful = false;
    }

    /// The first frame to send.
    pub(super) fn auth(&self, token: &str) -> String {
        json!({
            "type": "auth",
            "token": token,
            "session_id": self.session,
            "offline": self.offline,
        })
        .to_string()
    }

    /// Decides what to do about a frame.
    pub(super) fn take(&mut self, text: &str) -> Vec<Step> {
        if let Ok(named) = serde_json::from_str::<Named>(text) {
            return self.event(&named, text);
        }
        let Ok(frame) = serde_json::from_str::<Value>(text) else {
            return vec![Step::Note(format!("not understood: {text}"))];
        };
        let field = |name: &str| frame.get(name).and_then(Value::as_str).unwrap_or_default();
        match field("type") {
            "auth_ok" => self.attached(&frame),
            "reconnect" => {
                let ms = frame.get("retry_after_ms").and_then(Value::as_u64).unwrap_or(1_000);
                self.reconnect_after = Some(Duration::from_millis(ms));
                Vec::new()
            }
            "auth_failed" | "error" => vec![Step::Note(field("message").to_owned())],
            _ => Vec::new(),
        }
    }

    fn attached(&mut self, frame: &Value) -> Vec<Step> {
        let field = |name: &str| frame.get(name).and_then(Value::as_str).unwrap_or_default();
        let session = field("session_id").to_owned();
        self.session = Some(session.clone());
        let cursor = frame.get("cursor").and_then(Value::as_i64).unwrap_or(0);
        self.was_attached = true;
        let user = field("user");
        let mut steps = vec![
            Step::Keep(session.clone()),
            Step::Note(format!("attached as {user}, session {session}, at {cursor}")),
        ];
        if frame.get("need_full_sync") == Some(&Value::Bool(true)) {
            steps.push(Step::Note(format!(
                "need_full_sync: nothing up to {cursor} comes any more; fetch the whole state"
            )));
        }
        steps
    }

    fn event(&mut self, Named { event_id, seq }: &Named, text: &str) -> Vec<Step> {
        if self.known.contains(event_id) {
            self.repeated += 1;
            let first = (self.repeated == 1).then(|| format!("arrived again: {event_id}"));
            let said = first.map(Step::Note).into_iter();
            return said.chain([Step::Send(ack(event_id))]).collect();
        }
        // Without acks the same may come each time.
        self.was_useful |= self.acks || seq.is_none();
        let mut steps: Vec<Step> = self.repeats().map(Step::Note).into_iter().collect();
        steps.push(Step::Print(text.to_owned()));
        // An ephemeral event wants no ack.
        if self.acks && seq.is_some() {
            self.remember(event_id);
            steps.push(Step::Send(ack(event_id)));
        }
        steps.extend(self.counted());
        steps
    }

    fn remember(&mut self, event_id: &str) {
        self.known.insert(event_id.to_owned());
        self.order.push_back(event_id.to_owned());
        if self.order.len() > KNOWN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    fn counted(&mut self) -> Option<Step> {
        let left = self.left.as_mut()?;
        *left = left.saturating_sub(1);
        (*left == 0).then_some(Step::Done)
    }

    /// How long the hub asked to stay away.
    pub(super) fn reconnect_after(&self) -> Option<Duration> {
        self.reconnect_after
    }

    /// Whether this connection's token was good.
    pub(super) fn was_attached(&self) -> bool {
        self.was_attached
    }

    /// Whether this connection brought anything new.
    pub(super) fn was_useful(&self) -> bool {
        self.was_useful
    }

    /// What is still to be said of events that arrived again: the first of a row was named.
    pub(super) fn repeats(&mut self) -> Option<String> {
        match std::mem::take(&mut self.repeated) {
            0 | 1 => None,
            repeated => Some(format!("{} more arrived again", repeated - 1)),
        }
    }

    /// What a close code asks for (docs/protocol/ws.md).
    pub(super) fn ending(&self, code: u16) -> Ending {
        match code {
            4401 => Ending::FreshToken,
            4403 | 4409 => Ending::Stay,
            _ => Ending::ComeBack,
        }
    }
}

fn ack(event_id: &str) -> String {
    json!({"type": "ack", "event_id": event_id}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"type":"added","event_id":"e1","seq":7}"#;

    fn follower() -> Follower {
        Follower::new(None, "replay", true, None)
    }

    #[test]
    fn an_event_is_printed_once_and_acked_each_time() {
        let mut follower = follower();
        let steps = follower.take(EVENT);
        assert_eq!(steps, [Step::Print(EVENT.to_owned()), Step::Send(ack("e1"))]);
        let again = follower.take(EVENT);
        assert_eq!(again[0], Step::Note("arrived again: e1".to_owned()));
        assert_eq!(again[1], Step::Send(ack("e1")));
    }

    #[test]
    fn of_many_that_arrive_again_one_is_named_and_the_others_are_counted() {
        let mut follower = follower();
        follower.connecting();
        assert!(!follower.was_useful());
        follower.take(EVENT);
        assert!(follower.was_useful());
        follower.connecting();
        assert_eq!(follower.take(EVENT).len(), 2);
        assert_eq!(follower.take(EVENT), [Step::Send(ack("e1"))]);
        assert_eq!(follower.take(EVENT), [Step::Send(ack("e1"))]);
        assert!(!follower.was_useful());
        let new = follower.take(&EVENT.replace("e1", "e2"));
        assert_eq!(new[0], Step::Note("2 more arrived again".to_owned()));
        assert_eq!(follower.repeats(), None);
        assert_eq!(follower.take(EVENT).len(), 2, "a new row begins");
    }

    #[test]
    fn the_session_the_hub_names_is_kept_and_asked_for() {
        let mut follower = follower();
        assert!(follower.auth("t").contains(r#""session_id":null"#));
        let steps = follower.take(
            r#"{"type":"auth_ok","user":"u","session_id":"s","need_full_sync":true,"cursor":3}"#,
        );
        assert_eq!(steps[0], Step::Keep("s".to_owned()));
        let told = "need_full_sync: nothing up to 3 comes any more; fetch the whole state";
        assert_eq!(steps[2], Step::Note(told.to_owned()));
        assert!(follower.auth("t").contains(r#""session_id":"s""#));
    }

    #[test]
    fn an_unacking_follower_prints_every_arrival() {
        let mut follower = Follower::new(None, "replay", false, Some(2));
        assert_eq!(follower.take(EVENT), [Step::Print(EVENT.to_owned())]);
        assert_eq!(follower.take(EVENT), [Step::Print(EVENT.to_owned()), Step::Done]);
    }

    #[test]
    fn an_ephemeral_event_is_not_acked() {
        let frame = r#"{"type":"typing","event_id":"e2"}"#;
        assert_eq!(follower().take(frame), [Step::Print(frame.to_owned())]);
    }

    #[test]
    fn an_event_whose_data_cannot_be_read_is_printed_and_acked() {
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        for data in [&deep, "1e400", r#""\ud800""#, r#"{"\ud800":1}"#] {
            let frame = format!(r#"{{"type":"added","x":{data},"event_id":"e1","seq":7}}"#);
            let steps = follower().take(&frame);
            assert_eq!(steps, [Step::Print(frame), Step::Send(ack("e1"))]);
        }
    }

    #[test]
    fn the_hubs_advice_is_taken() {
        let mut follower = follower();
        follower.take(r#"{"type":"reconnect","retry_after_ms":700}"#);
        assert_eq!(follower.reconnect_after(), Some(Duration::from_millis(700)));
        assert_eq!(follower.ending(1012), Ending::ComeBack);
        assert_eq!(follower.ending(4408), Ending::ComeBack);
        assert_eq!(follower.ending(4409), Ending::Stay);
        assert_eq!(follower.ending(4401), Ending::FreshToken);
    }
}
