//! Asking other nodes: the home of a user, every other node, or every node that has slots.

use std::time::Duration;

use futures_util::future::join_all;

use super::envelope::Request;
use super::link::{AskError, Link};
use super::wire::Wire;
use crate::protocol::{NodeNumber, Slot, UserId};

/// What asks. Cheap to clone.
#[derive(Clone)]
pub(super) struct Asking {
    link: Link,
    answer_wait: Duration,
}

impl Asking {
    pub(super) fn new(link: Link, answer_wait: Duration) -> Self {
        Self { link, answer_wait }
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    pub(super) fn here(&self) -> NodeNumber {
        self.link.view().here()
    }

    /// The node that has a user's slot, unless it is this one: then whoever sent it here looks
    /// again.
    pub(super) fn home(&self, user: &UserId) -> Option<NodeNumber> {
        let (owner, _) = self.link.view().owner(user.slot());
        owner.filter(|owner| *owner != self.here())
    }

    /// Whether this node has a user's slot.
    pub(super) fn is_here(&self, user: &UserId) -> bool {
        self.link.view().is_here(user.slot())
    }

    /// Every node that has slots, by its first; none while a slot is nobody's.
    pub(super) fn owners(&self) -> Option<Vec<NodeNumber>> {
        let mut owners = Vec::new();
        for slot in 0..=255 {
            let owner = self.link.view().owner(Slot(slot)).0?;
            if !owners.contains(&owner) {
                owners.push(owner);
            }
        }
        Some(owners)
    }

    /// Asks a node.
    pub(super) async fn ask<T: Wire>(
        &self,
        node: NodeNumber,
        request: Request,
    ) -> Result<T, AskError> {
        self.ask_for(node, request, Duration::ZERO).await
    }

    /// Asks a node for something that takes a while.
    pub(super) async fn ask_for<T: Wire>(
        &self,
        node: NodeNumber,
        request: Request,
        takes: Duration,
    ) -> Result<T, AskError> {
        self.link.ask(node, request, self.answer_wait + takes).await
    }

    /// Asks a user's home; none without an answer, or when that is here.
    pub(super) async fn ask_home<T: Wire>(&self, user: &UserId, request: Request) -> Option<T> {
        self.ask(self.home(user)?, request).await.ok()
    }

    /// Asks these nodes at once; answers in their order.
    pub(super) async fn ask_all<T: Wire>(
        &self,
        nodes: Vec<NodeNumber>,
        request: impl Fn() -> Request,
    ) -> Vec<Result<T, AskError>> {
        join_all(nodes.into_iter().map(|node| self.ask(node, request()))).await
    }

    /// Asks every other node that is there.
    pub(super) async fn ask_others<T: Wire>(
        &self,
        request: impl Fn() -> Request,
    ) -> Vec<Result<T, AskError>> {
        self.ask_all(self.link.others(), request).await
    }
}
