//! Tells the askers of a group what became of it.

use actix::{Message, Recipient};

use super::Job;
use crate::persistence::group::{Outcomes, Write};
use crate::persistence::messages::{
    Append, AppendOutcome, Appended, ClaimSession, Flush, LoadUser, SessionClaimed, StoreError,
    Ticket, UserLoaded, UserSnapshot, Waiting,
};

type Results = Vec<(Ticket, Result<AppendOutcome, StoreError>)>;

/// Answers a whole group: one `Appended` per ReliableDelivery, and every other asker its own.
/// Gives back the writes of a failed group that nobody waits for, to be tried again.
pub(super) fn answer(
    writes: Vec<Write>,
    done: Result<Outcomes, StoreError>,
    waiting: &Waiting,
) -> Vec<Write> {
    let mut kept = Vec::new();
    let (mut outcomes, failed) = match done {
        Ok(outcomes) => (outcomes, None),
        Err(error) => (Outcomes::default(), Some(error)),
    };
    let lost = || failed.clone().unwrap_or(StoreError::Closed);
    let mut appended: Vec<(usize, Recipient<Appended>, Results)> = Vec::new();
    for write in writes {
        match write {
            Write::Append(Append { group, events, reply }) => {
                waiting.leave(events.len());
                let place = appended.iter().position(|(known, ..)| *known == group);
                let place = place.unwrap_or_else(|| {
                    appended.push((group, reply, Vec::new()));
                    appended.len() - 1
                });
                let Some((_, _, results)) = appended.get_mut(place) else { continue };
                results.extend(events.into_iter().map(|event| {
                    let outcome = outcomes.appends.pop_front();
                    (event.ticket, outcome.unwrap_or_else(|| Err(lost())))
                }));
            }
            Write::Claim(ClaimSession { ticket, user, reply, .. }) => {
                let result = outcomes.claims.pop_front().unwrap_or_else(|| Err(lost()));
                send(&reply, SessionClaimed { ticket, user, result });
            }
            Write::StartBroadcast(start) => {
                // Whoever asked may have stopped waiting.
                let _ = start.reply.send(outcomes.broadcasts.pop_front().ok_or_else(lost));
            }
            Write::BroadcastProgress(progress) => {
                let _ = progress.reply.send(failed.clone().map_or(Ok(()), Err));
            }
            Write::Note(note) => {
                waiting.leave(1);
                let result = outcomes.notes.pop_front();
                let _ = note.reply.send(result.unwrap_or_else(|| Err(lost().into())));
            }
            Write::ShareNote(share) => {
                let result = outcomes.shares.pop_front();
                let _ = share.reply.send(result.unwrap_or_else(|| Err(lost().into())));
            }
            Write::UnshareNote(unshare) => {
                let result = outcomes.unshares.pop_front();
                let _ = unshare.reply.send(result.unwrap_or_else(|| Err(lost().into())));
            }
            Write::FenceNotes(fence) => {
                let _ = fence.reply.send(failed.clone().map_or(Ok(()), |e| Err(e.into())));
            }
            Write::DeleteDeadLetter(delete) => {
                let _ = delete.reply.send(outcomes.deletions.pop_front().ok_or_else(lost));
            }
            Write::Push(push) => {
                drop(push.reply.send(outcomes.pushes.pop_front().ok_or_else(lost)));
            }
            Write::SaveSessions(_)
            | Write::SaveFloors(_)
            | Write::DeleteSessions(_)
            | Write::SettleNotes(_)
            | Write::SaveDeadLetters(_)
            | Write::FailDeadLetter(_) => {
                if failed.is_some() {
                    kept.push(write);
                }
            }
        }
    }
    for (_, reply, results) in appended {
        send(&reply, Appended(results));
    }
    kept
}

/// Answers a read whose group was not written: it would not see what it must.
pub(super) fn refuse(job: Job, error: &StoreError) {
    match job {
        Job::Write(_) => {}
        Job::Load(load) => loaded(load, Err(error.clone())),
        Job::NextBroadcast(next) => {
            let _ = next.reply.send(Err(error.clone()));
        }
        Job::Unsettled(read) => {
            let _ = read.reply.send(Err(error.clone().into()));
        }
        Job::Flush(Flush(reply)) => {
            let _ = reply.send(());
        }
    }
}

/// Answers a load.
pub(super) fn loaded(load: LoadUser, result: Result<UserSnapshot, StoreError>) {
    send(&load.reply, UserLoaded { user: load.user, result });
}

/// Hands an answer to an actor.
#[expect(
    clippy::disallowed_methods,
    reason = "one answer per request that was let in: bounded by the requests, and never lost"
)]
pub(super) fn send<M>(reply: &Recipient<M>, answer: M)
where
    M: Message + Send,
    M::Result: Send,
{
    reply.do_send(answer);
}
