//! Several nodes: how they find one another, who owns which slots, and where those are kept.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::DatabaseConfig;

/// How nodes work together.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterConfig {
    /// Whether there are others, and who says which slots are whose.
    pub mode: ClusterMode,
    /// This node's name; none lets it draw one at each start. `static` needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What `GET /api/v1/route` says of this node, for a load balancer or a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise: Option<String>,
    /// The NATS servers, separated by commas. May hold credentials: never logged.
    pub nats_url: String,
    /// What the subjects of this cluster start with: clusters that share a NATS differ here.
    pub subject: String,
    /// A node that has not renewed its lease for this long loses its slots, in milliseconds.
    pub lease_ms: u64,
    /// How often a lease is renewed, in milliseconds.
    pub renew_ms: u64,
    /// How long another node may take to answer, beyond what its work takes, in milliseconds.
    pub answer_wait_ms: u64,
    /// The nodes of a `static` cluster, each with its slots.
    pub nodes: Vec<ClusterNode>,
    /// Which database keeps which slots; an empty list keeps all in `database.url`.
    pub databases: Vec<ClusterDatabase>,
}

/// Whether there are other nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterMode {
    /// There is one node.
    Off,
    /// Nodes share Postgres, which says whose the slots are, and talk over NATS.
    Nats,
    /// `nodes` says whose the slots are; each node has a database of its own.
    Static,
}

/// One node of a `static` cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterNode {
    /// Its `cluster.node`.
    pub name: String,
    /// Its slots, such as `0-84` or `0-9,20,30-39`.
    pub slots: String,
    /// Its `cluster.advertise`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertise: Option<String>,
}

/// One database of several.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterDatabase {
    /// The slots it keeps.
    pub slots: String,
    /// As `database.url`.
    pub url: String,
}

impl std::fmt::Debug for ClusterConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterConfig").field("mode", &self.mode).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ClusterDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterDatabase").field("slots", &self.slots).finish_non_exhaustive()
    }
}

impl ClusterDatabase {
    /// This database, with the other settings of `main`.
    pub fn of(&self, main: &DatabaseConfig) -> DatabaseConfig {
        DatabaseConfig { url: self.url.clone(), ..main.clone() }
    }
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            mode: ClusterMode::Off,
            node: None,
            advertise: None,
            nats_url: "nats://127.0.0.1:4222".to_owned(),
            subject: "staffetta".to_owned(),
            lease_ms: 10_000,
            renew_ms: 3_000,
            answer_wait_ms: 5_000,
            nodes: Vec::new(),
            databases: Vec::new(),
        }
    }
}

impl ClusterConfig {
    /// Every problem, with the key it is about; `url` is `database.url`.
    pub(super) fn problems(&self, url: &str) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if !is_word(&self.subject) {
            problems.push(("subject", "must be letters, digits, - and _".to_owned()));
        }
        if self.node.as_deref().is_some_and(|node| !is_word(node)) {
            problems.push(("node", "must be letters, digits, - and _".to_owned()));
        }
        match self.mode {
            ClusterMode::Off => {}
            ClusterMode::Nats => {
                if !is_postgres(url) {
                    let problem = "\"nats\" needs Postgres: see database.url";
                    problems.push(("mode", problem.to_owned()));
                }
                if !self.nodes.is_empty() {
                    problems.push(("nodes", "are for mode = \"static\"".to_owned()));
                }
            }
            ClusterMode::Static => problems.extend(self.static_problems()),
        }
        if !self.databases.is_empty() {
            let parts = self.databases.iter().map(|database| database.slots.as_str());
            problems.extend(whole(parts).err().map(|problem| ("databases", problem)));
            if !self.databases.iter().all(|database| is_postgres(&database.url)) {
                problems.push(("databases", "\"nats\" needs postgres:// URLs".to_owned()));
            }
            if self.mode != ClusterMode::Nats {
                problems.push(("databases", "are for mode = \"nats\"".to_owned()));
            }
        }
        problems
    }

    fn static_problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let parts = self.nodes.iter().map(|node| node.slots.as_str());
        problems.extend(whole(parts).err().map(|problem| ("nodes", problem)));
        if self.nodes.len() > usize::from(u8::MAX) {
            problems.push(("nodes", "must be at most 255".to_owned()));
        }
        if !self.nodes.iter().all(|node| is_word(&node.name)) {
            problems.push(("nodes", "names must be letters, digits, - and _".to_owned()));
        }
        let me = self.node.as_deref().unwrap_or_default();
        let mine = self.nodes.iter().filter(|node| node.name == me).count();
        if mine != 1 {
            problems.push(("node", "must be one of cluster.nodes".to_owned()));
        }
        problems
    }

    /// Which of `databases` keeps each slot, by its place; none when all are in `database.url`.
    pub fn database_of_slots(&self) -> Option<Box<[u8; 256]>> {
        let parts = self.databases.iter().map(|database| database.slots.as_str());
        if self.databases.is_empty() { None } else { whole(parts).ok() }
    }

    /// Whose each slot is in a `static` cluster, by place in `nodes`.
    pub fn node_of_slots(&self) -> Option<Box<[u8; 256]>> {
        whole(self.nodes.iter().map(|node| node.slots.as_str())).ok()
    }
}

fn is_word(text: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !text.is_empty() && text.len() <= 64 && text.bytes().all(is_fine)
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// Reads `0-9,20,30-39`.
///
/// # Errors
/// What is wrong with it.
pub fn parse_slots(text: &str) -> Result<Vec<RangeInclusive<u8>>, String> {
    let number = |part: &str| {
        let wrong = || format!("slots = {text:?}: must be like \"0-127\" or \"0-9,20\", up to 255");
        part.trim().parse::<u8>().map_err(|_| wrong())
    };
    text.split(',')
        .map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(format!("slots = {text:?}: {first} is above {last}"));
            }
            Ok(first..=last)
        })
        .collect()
}

/// Says for each slot which part has it; every slot must be in exactly one.
fn whole<'a>(parts: impl Iterator<Item = &'a str>) -> Result<Box<[u8; 256]>, String> {
    let mut owners: Vec<Option<u8>> = vec![None; 256];
    for (place, part) in parts.enumerate() {
        let place = u8::try_from(place).map_err(|_| "must be at most 255".to_owned())?;
        for slot in parse_slots(part)?.into_iter().flatten() {
            let Some(owner) = owners.get_mut(usize::from(slot)) else { continue };
            if owner.replace(place).is_some() {
                return Err(format!("slot {slot} is there twice"));
            }
        }
    }
    let mut whole = Box::new([0; 256]);
    for (slot, (owner, known)) in owners.iter().zip(whole.iter_mut()).enumerate() {
        *known = owner.ok_or_else(|| format!("slot {slot} is nowhere"))?;
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, slots: &str) -> ClusterNode {
        ClusterNode { name: name.to_owned(), slots: slots.to_owned(), advertise: None }
    }

    #[test]
    fn every_slot_is_in_exactly_one_part() {
        let owners = whole(["0-99,200", "100-199", "201-255"].into_iter()).unwrap();
        assert_eq!((owners[0], owners[200], owners[100], owners[255]), (0, 0, 1, 2));
        assert_eq!(whole(["0-254"].into_iter()), Err("slot 255 is nowhere".to_owned()));
        assert_eq!(whole(["0-255", "7"].into_iter()), Err("slot 7 is there twice".to_owned()));
        assert!(whole(["0-256"].into_iter()).is_err());
        assert!(whole(["9-3"].into_iter()).is_err());
        assert!(whole([""].into_iter()).is_err());
    }

    #[test]
    fn a_cluster_says_what_it_lacks() {
        let mut config = ClusterConfig { mode: ClusterMode::Nats, ..ClusterConfig::default() };
        assert_eq!(config.problems("sqlite://x")[0].0, "mode");
        assert_eq!(config.problems("postgres://x"), []);
        config.databases =
            vec![ClusterDatabase { slots: "0-127".to_owned(), url: "postgres://a".to_owned() }];
        assert_eq!(config.problems("postgres://x")[0].1, "slot 128 is nowhere");
        let mut config = ClusterConfig { mode: ClusterMode::Static, ..ClusterConfig::default() };
        config.nodes = vec![node("a", "0-127"), node("b", "128-255")];
        assert_eq!(config.problems("sqlite://x")[0].0, "node");
        config.node = Some("b".to_owned());
        assert_eq!(config.problems("sqlite://x"), []);
        config.subject = "a.b".to_owned();
        assert_eq!(config.problems("sqlite://x")[0].0, "subject");
    }
}
