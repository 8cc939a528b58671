//! How far the end of the hub has come, for everything that is under way.

use tokio::sync::watch;

/// From running to closed; it only rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Everything goes on.
    Running,
    /// What is there is still posted.
    Finishing,
    /// What is still not posted is a dead letter.
    GivingUp,
    /// Nothing is taken any more; the last dead letters are written.
    Closed,
}

/// What everything under way looks at. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Stages(watch::Sender<Stage>);

impl Stages {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Stage::Running))
    }

    /// Goes on to `stage`, unless it is further already.
    pub(super) fn reach(&self, stage: Stage) {
        self.0.send_modify(|current| *current = stage.max(*current));
    }

    /// Waits until it is `stage`, or further.
    pub(super) async fn reached(&self, stage: Stage) {
        // An error would mean that the sender is gone, which is `self`.
        let _ = self.0.subscribe().wait_for(|current| *current >= stage).await;
    }
}
