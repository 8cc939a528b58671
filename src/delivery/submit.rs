//! Takes submissions to the delivery actors of their users, group by group.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::messages::{DeliveryPorts, Publish, PublishError, Receipt, Submission};

/// How long a publish may take to become durable before its publisher is told to try again.
const DURABLE_WAIT_MAX: Duration = Duration::from_secs(15);

/// How long a publish waits for a slot that is changing nodes.
const MOVE_WAIT_MAX: Duration = Duration::from_secs(3);

/// The pause before it is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(25);

type Published = Result<Receipt, PublishError>;

/// Hands each submission to the group it belongs to, and puts the answers in their places. A lost
/// or late answer leaves what is there.
pub(crate) async fn hand_out(
    ports: &DeliveryPorts,
    submissions: Vec<(usize, Submission)>,
    results: &mut [Published],
) {
    let share = submissions.len() / ports.groups().max(1);
    let mut groups: Vec<(Vec<usize>, Vec<Submission>)> = Vec::new();
    groups.resize_with(ports.groups(), || (Vec::with_capacity(share), Vec::with_capacity(share)));
    for (index, submission) in submissions {
        let group = ports.group_of(&submission.user);
        if let Some((indexes, events)) = groups.get_mut(group) {
            indexes.push(index);
            events.push(submission);
        }
    }
    let mut asked = Vec::new();
    for (port, (indexes, events)) in ports.all().iter().zip(groups) {
        if events.is_empty() {
            continue;
        }
        let wait = events.iter().filter_map(|event| event.wait_acked).max();
        let (reply, answer) = oneshot::channel();
        let deadline = DURABLE_WAIT_MAX + wait.unwrap_or_default();
        match port.publish.send(Publish { events, reply }).await {
            Ok(()) => asked.push((indexes, deadline, answer)),
            Err(error) => log::warn!("publish refused: {error}"),
        }
    }
    for (indexes, deadline, answer) in asked {
        if let Ok(Ok(answers)) = tokio::time::timeout(deadline, answer).await {
            for (index, result) in indexes.into_iter().zip(answers) {
                set(results, index, result);
            }
        }
    }
}

/// [`hand_out`], again for what meets a slot that is changing nodes: nothing of it was stored.
pub(super) async fn hand_out_until_taken(
    ports: &DeliveryPorts,
    mut submissions: Vec<(usize, Submission)>,
    results: &mut [Published],
) {
    let deadline = Instant::now() + MOVE_WAIT_MAX;
    loop {
        hand_out(ports, submissions.clone(), results).await;
        submissions.retain(|(index, _)| results.get(*index) == Some(&Err(PublishError::Moved)));
        if submissions.is_empty() || Instant::now() >= deadline {
            return;
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

/// Puts a value in its place.
pub(super) fn set<T>(results: &mut [T], index: usize, value: T) {
    if let Some(place) = results.get_mut(index) {
        *place = value;
    }
}
