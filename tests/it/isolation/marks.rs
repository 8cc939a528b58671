//! Marks: whatever a user puts in carries one of its own, and each has its readers.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

/// Names one piece of one user's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    owner: usize,
    number: usize,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mark-{:02}-{:06}", self.owner, self.number)
    }
}

/// Every mark, and what was found of them. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Marks(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    readers: Vec<BTreeSet<usize>>,
    /// Names of events that somebody was sent.
    events: Vec<String>,
    leaks: Vec<String>,
    own: usize,
    shared: usize,
}

impl Marks {
    /// A mark that `readers` may see.
    pub(super) fn fresh(&self, owner: usize, readers: impl IntoIterator<Item = usize>) -> Mark {
        let mut inner = self.inner();
        inner.readers.push(readers.into_iter().collect());
        Mark { owner, number: inner.readers.len() - 1 }
    }

    /// Lets one more user see it, from now on.
    pub(super) fn allow(&self, mark: Mark, reader: usize) {
        self.inner().readers[mark.number].insert(reader);
    }

    /// Looks for marks in what `reader` got.
    pub(super) fn search(&self, reader: usize, text: &str, whence: &str) {
        let mut inner = self.inner();
        for (at, _) in text.match_indices("mark-") {
            let number = |from: usize, to: usize| {
                text.get(at + from..at + to).and_then(|digits| digits.parse::<usize>().ok())
            };
            let (owner, number) = number(5, 7).zip(number(8, 14)).unwrap();
            if !inner.readers[number].contains(&reader) {
                inner.leaks.push(format!("user {reader} got mark {number} of {owner}: {whence}"));
            } else if owner == reader {
                inner.own += 1;
            } else {
                inner.shared += 1;
            }
        }
    }

    /// Takes note of an event's name.
    pub(super) fn saw_event(&self, name: &str) {
        self.inner().events.push(name.to_owned());
    }

    /// The names of the last events.
    pub(super) fn last_events(&self) -> Vec<String> {
        self.inner().events.iter().rev().take(50).cloned().collect()
    }

    /// What reached somebody whom it does not concern.
    pub(super) fn leaks(&self) -> Vec<String> {
        self.inner().leaks.clone()
    }

    /// How many marks were found where they belong: with their users, and with others.
    pub(super) fn found(&self) -> (usize, usize) {
        let inner = self.inner();
        (inner.own, inner.shared)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }
}
