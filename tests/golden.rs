//! Golden transcripts of each dialect: `>` is what a client says, `<` what the hub answers.
//!
//! Each transcript is played against a hub over a real socket. `*` stands for any value that
//! differs from run to run; `$name` for one that is taken from an earlier frame or made up here;
//! `x 4401` expects the end of the connection with that code. A second connection of the same
//! transcript says `2>`, hears `2<` and ends with `2x`; it opens where it is first named.
//! `: section.key=value` changes a setting, and `! …` does something to the hub: `! publish …`
//! and `! update …` publish, `! revoke user session`, `! share owner note member role`,
//! `! unshare user note member`, `! drain`, `! database away` or `back`.
//! `~ HOW KEY frame` says a frame in a signed envelope (`envelopes.rs`).

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so"
)]

#[path = "golden/envelopes.rs"]
mod envelopes;
#[path = "golden/player.rs"]
mod player;

use std::path::Path;

#[test]
fn every_transcript_of_ws_is_played_as_written() {
    play_all("native", "/ws", 16);
}

#[test]
fn every_transcript_of_updates_is_played_as_written() {
    play_all("updates", "/updates", 9);
}

#[test]
fn every_transcript_of_notes_is_played_as_written() {
    play_all("notes", "/ws", 13);
}

fn play_all(dialect: &str, path: &str, least: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(dialect);
    let mut played = 0;
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = format!("{dialect}/{}", file.file_name().unwrap().to_string_lossy());
        actix_web::rt::System::new().block_on(player::play(&name, path, &text));
        played += 1;
    }
    assert!(played >= least, "only {played} transcripts");
}
