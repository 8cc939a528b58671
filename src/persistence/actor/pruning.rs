//! Forgetting what is past its age, a little at a time.

use std::time::Duration;

use actix::{AsyncContext, Context};

use super::{Persistence, open};
use crate::clock;
use crate::persistence::messages::{LogPruned, StoreError};
use crate::persistence::{
    broadcasts, dead_letters as letters, events, notes, pushes, sessions, slots,
};

/// The pause between two steps of pruning, for traffic to go on.
const PRUNE_PAUSE: Duration = Duration::from_millis(20);

impl Persistence {
    pub(super) fn start_pruning(&mut self, ctx: &mut Context<Self>) {
        if !self.is_pruning {
            self.is_pruning = true;
            self.pruned = 0;
            self.prune_step(ctx);
        }
    }

    /// Prunes a little, in a transaction of its own, and goes on after a pause while there is
    /// more.
    fn prune_step(&mut self, ctx: &mut Context<Self>) {
        match self.prune() {
            Ok(None) => self.is_pruning = false,
            Ok(Some(0)) => {
                if self.pruned > 0 {
                    log::info!(
                        "pruned {} events, sessions and tombstones past their age",
                        self.pruned
                    );
                }
                self.is_pruning = false;
            }
            Ok(Some(removed)) => {
                self.pruned += removed;
                ctx.run_later(PRUNE_PAUSE, |actor, ctx| actor.prune_step(ctx));
            }
            Err(error) => {
                log::warn!("pruning stops until the next round: {error}");
                self.drop_broken();
                self.is_pruning = false;
            }
        }
    }

    /// How much it pruned; none when that is another node's to do.
    fn prune(&mut self) -> Result<Option<usize>, StoreError> {
        let now = clock::wall();
        let step_max = self.retention.prune_step_max;
        let events_before = now.minus_ms(self.retention.events_age_s.saturating_mul(1_000));
        let sessions_before = now.minus_ms(self.retention.sessions_age_s.saturating_mul(1_000));
        let tombstones_before = now.minus_ms(self.retention.tombstones_age_s.saturating_mul(1_000));
        let letters_before = now.minus_ms(self.retention.dead_letters_age_s.saturating_mul(1_000));
        let letters_max = self.dead_letters_max;
        let places = &mut self.places;
        let connection = open(&self.opener, &mut self.connection)?;
        if let Some(here) = self.here
            && !slots::is_first(here, connection)?
        {
            return Ok(None);
        }
        let (removed, users) = places.in_transaction(connection, |places, connection| {
            let (mut removed, users) = events::prune(events_before, step_max, places, connection)?;
            removed += sessions::prune(sessions_before, step_max, connection)?;
            removed += broadcasts::prune(events_before, connection)?;
            removed += notes::prune(tombstones_before, events_before, step_max, connection)?;
            removed += pushes::prune(connection)?;
            removed += letters::prune(letters_before, letters_max, step_max, connection)?;
            Ok((removed, users))
        })?;
        self.wrote(removed);
        if !users.is_empty() {
            for observer in &self.observers {
                // One that does not keep up learns of it when it next reads the user.
                if observer.try_send(LogPruned { users: users.clone() }).is_err() {
                    log::debug!("an observer of pruning does not keep up");
                }
            }
        }
        Ok(Some(removed))
    }
}
