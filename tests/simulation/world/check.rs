//! After the faults: everyone comes back, and has everything that was promised.

use super::World;

impl World {
    /// Nothing fails any more, everyone comes back, and time goes on until all is quiet.
    pub(crate) fn heal(&mut self) {
        self.healed = true;
        self.note(|| "healed".to_owned());
        for round in 0..400 {
            self.ms += 500;
            while !self.store.waiting.is_empty() {
                let answers = self.store.commit(100, false);
                self.answers.extend(answers);
                self.drive();
            }
            for (user, connection) in std::mem::take(&mut self.detaches) {
                self.sent.remove(&connection);
                let user = self.users[user].clone();
                self.table.detach(&user, connection, self.moment());
            }
            for index in 0..self.clients.len() {
                if self.clients[index].connection.is_none() {
                    self.connect(index);
                    self.drive();
                }
                while !self.clients[index].inbox.is_empty() {
                    self.receive(index);
                }
                while !self.clients[index].acks.is_empty() || self.clients[index].must_confirm {
                    if self.clients[index].connection.is_none() {
                        break;
                    }
                    self.ack(index);
                }
                self.drive();
            }
            self.table.tick(self.moment());
            self.drive();
            // What failed last is tried again after an ack wait; it is not quiet before that.
            if round > 10 && self.is_quiet() {
                return;
            }
        }
        let open: Vec<_> = self.open.values().collect();
        let unsettled: Vec<_> =
            (0..self.clients.len()).filter(|index| !self.is_settled(*index)).collect();
        panic!("it never comes to rest: {open:?} are open, clients {unsettled:?} lack something");
    }

    fn is_quiet(&self) -> bool {
        self.store.waiting.is_empty()
            && self.detaches.is_empty()
            && self.open.is_empty()
            && self
                .clients
                .iter()
                .all(|client| client.attached && client.inbox.is_empty() && client.acks.is_empty())
            && self.clients.iter().enumerate().all(|(index, _)| self.is_settled(index))
    }

    /// Whether a device has everything in its log that is for it.
    fn is_settled(&self, index: usize) -> bool {
        let client = &self.clients[index];
        client.is_plain
            || self.store.logs.get(&self.users[client.user]).is_none_or(|log| {
                log.events.iter().all(|(seq, event)| {
                    client.has(*seq)
                        || event.is_expired(self.moment().wall)
                        || event.exclude_session.as_ref() == client.session.as_ref()
                        || self.sabotage != super::Sabotage::None
                })
            })
    }

    /// The promise: each session has each event, or did a full sync that covers it.
    pub(crate) fn check_promises(&mut self) {
        for user in 0..self.users.len() {
            if let Some(log) = self.store.logs.get(&self.users[user]) {
                let places: Vec<_> = log.events.keys().copied().collect();
                let expected: Vec<_> = (log.pruned + 1..=log.last()).collect();
                assert_eq!(places, expected, "the log has a hole");
            }
        }
        for promise in &self.promises {
            if promise.expires_at.is_some_and(|at| at <= self.moment().wall) {
                continue;
            }
            for index in &promise.owed_to {
                let client = &self.clients[*index];
                assert_eq!(client.user, promise.user);
                assert!(client.has(promise.seq), "client {index} lost {}", promise.seq);
            }
        }
    }
}
