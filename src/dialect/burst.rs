//! Events that go to the same connections one after the other.

use std::cell::OnceCell;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::{DialectKind, EventFrames};

/// Frames are joined until they pass this many bytes: one system call writes them, and no outbox
/// is full because of what could have been split.
const PIECE_BYTES: usize = 16 * 1024;

/// One event or several, joined at most once per dialect: to a connection they are few pieces.
#[derive(Debug)]
pub struct Burst {
    events: Vec<Arc<EventFrames>>,
    pieces: [OnceCell<Vec<Bytes>>; DialectKind::COUNT],
}

impl Burst {
    /// One event.
    pub fn new(first: Arc<EventFrames>) -> Self {
        Self { events: vec![first], pieces: Default::default() }
    }

    /// Adds the next event.
    pub fn push(&mut self, next: Arc<EventFrames>) {
        self.events.push(next);
        self.pieces = Default::default();
    }

    /// The events, in order.
    pub fn events(&self) -> &[Arc<EventFrames>] {
        &self.events
    }

    /// Their frames in this dialect, one after the other. Each piece is whole frames.
    #[expect(clippy::indexing_slicing, reason = "index() is below COUNT")]
    pub fn pieces(&self, kind: DialectKind) -> &[Bytes] {
        match &self.events[..] {
            [one] => std::slice::from_ref(one.framed(kind)),
            many => self.pieces[kind.index()].get_or_init(|| join(many, kind)),
        }
    }
}

fn join(events: &[Arc<EventFrames>], kind: DialectKind) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    let mut piece = BytesMut::new();
    for frames in events {
        let frame = frames.framed(kind);
        if !piece.is_empty() && piece.len() + frame.len() > PIECE_BYTES {
            pieces.push(piece.split().freeze());
        }
        piece.extend_from_slice(frame);
    }
    pieces.push(piece.freeze());
    pieces
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;
    use uuid::Uuid;

    use super::*;
    use crate::dialect::frame;
    use crate::dialect::socketio::Marking;
    use crate::protocol::{Event, EventContent, EventId, NewEvent, Seq, Timestamp};

    fn event(seq: i64, data_bytes: usize) -> Arc<EventFrames> {
        let text = format!("\"{}\"", "x".repeat(data_bytes));
        let data = Some(RawValue::from_string(text).unwrap());
        let new = NewEvent { data, ..NewEvent::new("added") };
        let content = EventContent::fix(new, EventId(Uuid::from_u128(7)), Timestamp(0));
        EventFrames::new(Event::at(Seq(seq), Arc::new(content)))
    }

    #[test]
    fn pieces_are_the_frames_of_every_event_in_order() {
        let sizes = [10, 5_000, 9_000, 3_000, 100_000, 1, 16_000, 16_000];
        let events: Vec<_> = (1..).zip(sizes).map(|(seq, size)| event(seq, size)).collect();
        let mut burst = Burst::new(Arc::clone(&events[0]));
        events[1..].iter().for_each(|next| burst.push(Arc::clone(next)));
        for kind in [DialectKind::Native, DialectKind::SocketIo(Marking::Bare)] {
            let alone: Vec<_> = events.iter().flat_map(|event| event.framed(kind)).collect();
            let joined: Vec<_> = burst.pieces(kind).iter().flatten().collect();
            assert_eq!(joined, alone);
            for piece in burst.pieces(kind) {
                let frames = frame::parts(piece).count();
                assert!(frames == 1 || piece.len() <= PIECE_BYTES, "{frames} in {}", piece.len());
            }
            assert!(burst.pieces(kind).len() < events.len());
        }
    }

    #[test]
    fn one_event_is_its_own_frame() {
        let event = event(1, 10);
        let burst = Burst::new(Arc::clone(&event));
        let [piece] = burst.pieces(DialectKind::Native) else { panic!("one piece") };
        assert_eq!(piece.as_ptr(), event.framed(DialectKind::Native).as_ptr());
    }
}
