//! What the API reads, for the fuzzer: it is part of builds with `--cfg fuzzing` only.

use serde_json::value::RawValue;

use super::event_body::{Addressing, EventBody};
use super::{notes, parameters};

const BATCH_MAX: usize = 100;

/// Reads the body of every call that publishes.
pub fn publish_bodies(json: &[u8]) {
    for addressing in [Addressing::ByPath, Addressing::ByBody] {
        if let Ok(body) = EventBody::parse(json, addressing) {
            assert!(serde_json::from_slice::<&RawValue>(json).is_ok(), "took what is no JSON");
            let _ = body.into_event();
        }
    }
    if let Ok(bodies) = EventBody::parse_batch(json, BATCH_MAX) {
        assert!(bodies.len() <= BATCH_MAX, "took more than the limit");
        for body in bodies.into_iter().flatten() {
            let _ = body.into_event();
        }
    }
}

/// Reads the parameters of a query, and parts of a path.
pub fn query(text: &str) {
    if let Ok(cursor) = parameters::number("cursor", text, 0..=i64::MAX) {
        assert!(cursor >= 0, "took a cursor before the first");
    }
    let _ = notes::cursor(text);
    let _ = parameters::percent_decode(text);
}
