//! How long the hot pure pieces take: `cargo bench --bench pieces`. The same pieces whose instructions
//! are counted (`make instructions`).

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench that cannot go on says so"
)]

#[path = "../tests/instructions/work.rs"]
mod work;

use divan::Bencher;
use divan::counter::ItemsCount;
use work::{WORKS, Work};

/// How often a piece is done in one measurement: what is set up before it does not count for much.
const TIMES: usize = 2_000;

fn main() {
    divan::main();
}

/// A piece of work, by its name.
struct Piece(&'static str, Work);

impl std::fmt::Display for Piece {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.0)
    }
}

fn pieces() -> impl Iterator<Item = Piece> {
    WORKS.iter().map(|&(name, work, _)| Piece(name, work))
}

#[divan::bench(args = pieces())]
fn piece(bencher: Bencher<'_, '_>, Piece(_, work): &Piece) {
    bencher.counter(ItemsCount::new(TIMES)).bench(|| work(TIMES));
}
