//! Every decoder of the hub under libFuzzer, one at a time: `FUZZ_DECODER=native` chooses.
//!
//! None may panic, and what one takes must hold what its type promises. `fuzz/run.sh` builds and
//! runs them; docs/testing.md says what ran.

#![no_main]

mod edges;
mod language;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

type Decoder = fn(&[u8]);

/// Every decoder by its name; `fuzz/seeds` has a folder for each.
const DECODERS: &[(&str, Decoder)] = &[
    ("native", language::native),
    ("notes", language::notes),
    ("envelope", language::envelope),
    ("updates", language::updates),
    ("engine", language::engine),
    ("socketio", language::socketio),
    ("polling", language::polling),
    ("frames", edges::frames),
    ("config", edges::config),
    ("publish", edges::publish),
    ("query", edges::query),
];

static DECODER: LazyLock<Decoder> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_DECODER").unwrap_or_default();
    let found = DECODERS.iter().find(|(known, _)| *known == name);
    let names = || DECODERS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    found.unwrap_or_else(|| panic!("FUZZ_DECODER is one of {}", names())).1
});

fuzz_target!(|data: &[u8]| DECODER(data));
