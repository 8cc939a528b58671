//! Fifty users, what they own, and the random things they do.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{BoxFuture, FutureExt, ready};
use serde_json::{Value, json};
use staffetta::{ClientCommand, CommandError, CommandHandler, CommandReply};

use super::client::Client;
use super::marks::{Mark, Marks};
use crate::device::Device;
use crate::random::Random;
use crate::world::{Answer, Database, TestHub, eventually};

const USERS: usize = 50;

/// Gives the data of a command back.
struct Echo;

impl CommandHandler for Echo {
    fn handle<'a>(
        &'a self,
        command: ClientCommand,
    ) -> BoxFuture<'a, Result<CommandReply, CommandError>> {
        ready(Ok(CommandReply { data: command.data })).boxed()
    }
}

/// A user with three connections, one of each kind.
pub(super) struct Person {
    pub(super) name: Mark,
    /// The session of `tab`.
    pub(super) session: Mark,
    pub(super) plain: Client,
    pub(super) tab: Client,
    pub(super) phone: Client,
    /// What the application published for this user, and the log holds.
    pub(super) published: Vec<Mark>,
}

/// A note as it must stand.
pub(super) struct Note {
    /// As it is in addresses too.
    pub(super) id: String,
    pub(super) owner: usize,
    /// Whether each may write it.
    pub(super) members: BTreeMap<usize, bool>,
    pub(super) fields: BTreeMap<String, Mark>,
    pub(super) is_alive: bool,
}

impl Note {
    pub(super) fn audience(&self) -> BTreeSet<usize> {
        self.members.keys().copied().chain([self.owner]).collect()
    }

    pub(super) fn lets_write(&self, user: usize) -> bool {
        self.owner == user || self.members.get(&user) == Some(&true)
    }

    pub(super) fn lets_see(&self, user: usize) -> bool {
        self.is_alive && self.audience().contains(&user)
    }
}

pub(super) struct World {
    pub(super) hub: TestHub,
    pub(super) marks: Marks,
    pub(super) random: Random,
    pub(super) people: Vec<Person>,
    pub(super) notes: Vec<Note>,
}

impl World {
    pub(super) async fn start(database: Database, seed: u64) -> Self {
        let adjust = |config: &mut staffetta::Config| {
            config.limits.frames_per_minute_max = 1_000_000;
            config.limits.signals_per_second_max = 1_000;
        };
        let hub = TestHub::start_with(database, adjust, |builder| builder.commands(Echo)).await;
        let marks = Marks::default();
        let mut people = Vec::new();
        for user in 0..USERS {
            let (name, session) = (marks.fresh(user, [user]), marks.fresh(user, [user]));
            let client = |device| Client::new(device, user, marks.clone());
            let plain = client(Device::plain(&hub, &name.to_string()).await);
            let tab = client(tab(&hub, name, session).await);
            let path = format!("/updates?token={}", hub.token(&name.to_string()));
            let phone = client(Device::connect_to(&hub, &path, &[]).await.unwrap());
            people.push(Person { name, session, plain, tab, phone, published: Vec::new() });
        }
        Self { hub, marks, random: Random::new(seed), people, notes: Vec::new() }
    }

    /// Somebody does something.
    pub(super) async fn step(&mut self) {
        let user = self.any_user();
        match self.random.below(22) {
            0..=2 => self.create(user).await,
            3..=6 => self.update(user).await,
            7 => self.delete(user).await,
            8 | 9 => self.join(user).await,
            10 => self.signal(user).await,
            11 => self.folder(user).await,
            12 => self.publish(user).await,
            13 => self.publish_to_note(user).await,
            14 => self.overstep(user).await,
            15 => self.visit(user).await,
            16 => self.ack_of_others(user).await,
            17 => self.command(user).await,
            18 => self.share(user).await,
            19 => self.unshare(user).await,
            20 => self.read_note(user).await,
            _ => self.read_lists(user).await,
        }
    }

    /// Lets everything that is on its way arrive, and looks at what everybody may read.
    pub(super) async fn settle(&mut self) {
        for user in 0..USERS {
            self.read_lists(user).await;
            self.people[user].plain.ask(json!({"type": "ping"})).await;
            self.people[user].tab.ask(json!({"type": "ping"})).await;
            self.people[user].phone.command("ping", Value::Null).await;
            let name = self.people[user].name.to_string();
            let log = self.call(user, "GET", "/api/v1/sync?limit=1000", None).await;
            for mark in &self.people[user].published {
                assert!(log.text.contains(&mark.to_string()), "{mark} is not in its log");
            }
            let session = self.people[user].session.to_string();
            eventually("everything is acked", || async {
                let sessions = self.hub.sessions(&name).await;
                let own = sessions.iter().find(|found| found["session_id"] == session);
                own.is_some_and(|own| own["pending"] == 0)
            })
            .await;
        }
    }

    /// Some field of a note with a mark for it: of everyone who may see it, if it gets there.
    pub(super) fn field_of(&mut self, at: usize, user: usize, may: bool) -> (String, Mark) {
        let field = format!("f{}", self.random.below(4));
        if !may {
            return (field, self.marks.fresh(user, [user]));
        }
        let mark = self.marks.fresh(user, self.notes[at].audience());
        self.notes[at].fields.insert(field.clone(), mark);
        (field, mark)
    }

    /// Says something about notes on either connection to `/ws`; it must be taken, or not.
    pub(super) async fn ask(&mut self, user: usize, frame: Value, may: bool) {
        let is_plain = self.random.chance(50);
        let person = &mut self.people[user];
        let client = if is_plain { &mut person.plain } else { &mut person.tab };
        let answers = client.ask(frame.clone()).await;
        let is_refused = answers.iter().any(|answer| answer["type"] == "error");
        assert_eq!(is_refused, !may, "{frame} of user {user}: {answers:?}");
    }

    pub(super) async fn call(
        &self,
        user: usize,
        method: &str,
        path: &str,
        body: Option<&str>,
    ) -> Answer {
        let answer = self.call_quietly(user, method, path, body).await;
        self.marks.search(user, &answer.text, path);
        answer
    }

    pub(super) async fn call_quietly(
        &self,
        user: usize,
        method: &str,
        path: &str,
        body: Option<&str>,
    ) -> Answer {
        let token = self.hub.token(&self.people[user].name.to_string());
        self.hub.call_as(Some(&token), method, path, body, &[]).await
    }

    pub(super) fn any_user(&mut self) -> usize {
        self.random.below(USERS as u64) as usize
    }

    /// Any note; more often one that the user may see.
    pub(super) fn any_note(&mut self, user: usize) -> Option<usize> {
        let all = 0..self.notes.len();
        let near: Vec<_> = all.clone().filter(|at| self.notes[*at].lets_see(user)).collect();
        if self.random.chance(60) && !near.is_empty() {
            return self.random.pick(&near).copied();
        }
        self.random.pick(&all.collect::<Vec<_>>()).copied()
    }
}

/// The reliable connection of a user.
pub(super) async fn tab(hub: &TestHub, name: Mark, session: Mark) -> Device {
    Device::replaying(hub, &name.to_string(), &session.to_string()).await.0
}
