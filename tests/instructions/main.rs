//! How many instructions the hot pure pieces take, counted by callgrind: the same on a busy
//! machine as on an idle one. More than 5 % over `recorded.txt` fails.
//!
//! `make instructions UPDATE=1` records the figures anew; they belong to one compiler, which the
//! file names. Another compiler, or no valgrind, leaves the comparison out.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so"
)]

mod work;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::{Command, ExitCode};

use work::WORKS;

/// What a filter of `cargo test` must be part of.
const TEST: &str = "instructions";

/// How far above its record a piece may be, in hundredths.
const GROWTH_MAX: u64 = 5;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().collect();
    if let [_, flag, name] = &args[..]
        && flag == "--work"
    {
        let (_, work, times) = WORKS.iter().find(|(known, ..)| known == name).unwrap();
        work(*times);
        return ExitCode::SUCCESS;
    }
    let mut filters = args.iter().skip(1).filter(|arg| !arg.starts_with('-')).peekable();
    let is_left_out = filters.peek().is_some() && !filters.any(|filter| TEST.contains(&**filter));
    if is_left_out || args.iter().any(|arg| arg == "--list") {
        return ExitCode::SUCCESS;
    }
    match count_all() {
        None => summary(0, 0, 1, "left out: counting instructions needs valgrind"),
        Some(counts) if std::env::var("UPDATE").is_ok_and(|update| update == "1") => {
            std::fs::write(record(), spell(&counts)).unwrap();
            summary(WORKS.len(), 0, 0, "recorded")
        }
        Some(counts) => compare(&counts),
    }
}

fn record() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/instructions/recorded.txt").to_owned()
}

fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Instructions per time each piece is done; none without valgrind.
fn count_all() -> Option<BTreeMap<&'static str, u64>> {
    WORKS.iter().map(|(name, _, times)| Some((*name, count(name)? / *times as u64))).collect()
}

fn count(name: &str) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .args(["--work", name])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {text}");
    let collected = text.lines().find_map(|line| line.split_once("Collected : "));
    Some(collected.unwrap().1.trim().parse().unwrap())
}

fn spell(counts: &BTreeMap<&str, u64>) -> String {
    let mut text = format!("{}\n", compiler());
    for (name, count) in counts {
        writeln!(text, "{count:>8} {name}").unwrap();
    }
    text
}

fn compare(counts: &BTreeMap<&'static str, u64>) -> ExitCode {
    let text = std::fs::read_to_string(record()).unwrap();
    let (recorded_by, lines) = text.split_once('\n').unwrap();
    print!("{}", spell(counts));
    if recorded_by != compiler() {
        return summary(0, 0, 1, &format!("left out: the figures are those of {recorded_by}"));
    }
    let mut failed = 0;
    for (name, count) in counts {
        let recorded = lines.lines().filter_map(|line| line.trim_start().split_once(' '));
        let recorded = recorded.into_iter().find(|(_, known)| known == name);
        let recorded = recorded.and_then(|(count, _)| count.parse::<u64>().ok()).unwrap_or(0);
        if *count > recorded + recorded * GROWTH_MAX / 100 {
            println!("{name}: {count} instructions, {recorded} are recorded");
            failed += 1;
        }
    }
    let note = match failed {
        0 => "as recorded",
        _ => "make instructions UPDATE=1 records them anew",
    };
    summary(counts.len() - failed, failed, 0, note)
}

/// Ends like any other test binary, so that its results are counted.
fn summary(passed: usize, failed: usize, ignored: usize, note: &str) -> ExitCode {
    let result = if failed == 0 { "ok" } else { "FAILED" };
    println!("{note}\ntest result: {result}. {passed} passed; {failed} failed; {ignored} ignored");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
