//! What the machine allows who only computes: a thread on the server's core that does so for as long, as
//! often as is asked of it, and nothing else.
//!
//! It waits for no disk, no socket and no lock. What it has late, the machine had something else to do.

use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// The server's.
const CORE: usize = 0;

/// p50 and p99 in microseconds of the time from when a piece of computing is due, one every `beat`, until
/// it is done, and how many percent of them this thread had later than `late`.
pub(crate) fn at(
    piece: Duration,
    beat: Duration,
    during: Duration,
    late: Duration,
) -> (f64, f64, f64) {
    let (sender, dues) = channel();
    let start = Instant::now();
    let computing = thread::spawn(move || compute(piece, start, &dues));
    let (mut due, mut count, mut lates) = (Duration::ZERO, 0, 0);
    while due < during {
        while start.elapsed() < due {
            std::hint::spin_loop();
        }
        lates += u32::from(start.elapsed() - due > late);
        sender.send(due).unwrap();
        count += 1;
        due += beat;
    }
    drop(sender);
    let latencies = computing.join().unwrap();
    let at = |percent| latencies.value_at_percentile(percent) as f64;
    (at(50.0), at(99.0), f64::from(lates) * 100.0 / f64::from(count))
}

fn compute(piece: Duration, start: Instant, dues: &Receiver<Duration>) -> Histogram<u64> {
    let mut core = CpuSet::new();
    core.set(CORE);
    sched_setaffinity(None, &core).unwrap();
    let mut latencies = Histogram::new(3).unwrap();
    while let Ok(due) = dues.recv() {
        let end = cpu() + piece;
        while cpu() < end {}
        latencies.record((start.elapsed() - due).as_micros() as u64).unwrap();
    }
    latencies
}

/// CPU time of this thread so far.
fn cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap()
}
