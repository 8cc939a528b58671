//! How a hub joins others.

use std::sync::Arc;

use uuid::Uuid;

use super::HubError;
use crate::clock;
use crate::cluster::{BusError, BusKind, Cluster, ClusterParts, Owners, View};
use crate::config::{ClusterConfig, ClusterMode, Config};
use crate::delivery::Publisher;
use crate::delivery::messages::DeliveryPorts;
use crate::metrics::Metrics;
use crate::notebook::Notebook;
use crate::notes::NoteStore;
use crate::persistence::messages::{PersistencePort, Waiting};
use crate::persistence::{self, Sharing, SlotStore, StoreSetupError};
use crate::protocol::{Epoch, NodeNumber, Slot};
use crate::registry::{Directory, Rooms};

/// What a node is before it serves: its number, and who says whose the slots are.
pub(super) struct Membership {
    name: String,
    view: Arc<View>,
    owners: Owners,
    sharing: Option<Sharing>,
}

/// Draws the number of this node; none where there is no other.
pub(super) async fn join(config: &Arc<Config>) -> Result<Option<Membership>, HubError> {
    match config.cluster.mode {
        ClusterMode::Off => Ok(None),
        ClusterMode::Nats => {
            let config = Arc::clone(config);
            let joining = tokio::task::spawn_blocking(move || join_by_rows(&config));
            let ended = |_| StoreSetupError::Open("its thread ended".to_owned());
            Ok(Some(joining.await.map_err(ended)??))
        }
        ClusterMode::Static => Ok(Some(join_by_config(&config.cluster))),
    }
}

fn join_by_rows(config: &Config) -> Result<Membership, StoreSetupError> {
    let cluster = &config.cluster;
    for migration in persistence::migrate(&config.database)? {
        log::info!("migrated the database to {migration}");
    }
    // Half a lease: whatever hangs is given up before another node needs it.
    let gives_up_ms = cluster.lease_ms / 2;
    let mut main = SlotStore::new(&config.database, (0..=255).map(Slot), gives_up_ms)?;
    let failed =
        |error: persistence::messages::StoreError| StoreSetupError::Open(error.to_string());
    let here = main.draw_number().map_err(failed)?;
    let stores = match cluster.database_of_slots() {
        Some(places) => {
            let parts = cluster.databases.iter().enumerate().map(|(place, part)| {
                let kept =
                    (0..=255).zip(places.iter()).filter(|(_, kept)| usize::from(**kept) == place);
                let slots = kept.map(|(slot, _)| Slot(slot));
                SlotStore::new(&part.of(&config.database), slots, gives_up_ms)
            });
            parts.collect::<Result<_, _>>()?
        }
        None => vec![main],
    };
    let waiting = Waiting::new(config.database.queue_max);
    Ok(Membership {
        name: name(cluster),
        view: Arc::new(View::new(here)),
        owners: Owners::Rows(stores),
        sharing: Some(Sharing { here, gives_up_ms, waiting }),
    })
}

/// A number of this life: the place in the list, and twelve bits at random.
fn join_by_config(cluster: &ClusterConfig) -> Membership {
    let name = name(cluster);
    let place = cluster.nodes.iter().position(|node| node.name == name).unwrap_or(0);
    let place = u8::try_from(place).unwrap_or(0);
    let life = getrandom::u32().unwrap_or(0) & 0xfff;
    let here = NodeNumber((life << 8) | (u32::from(place) + 1));
    let epoch = Epoch(clock::wall().0);
    let owners = cluster.node_of_slots();
    let owners = owners.iter().flat_map(|owners| owners.iter().enumerate());
    let mine = owners.filter(|(_, owner)| **owner == place);
    let slots = mine.map(|(slot, _)| (Slot(slot as u8), epoch)).collect();
    let view = Arc::new(View::new(here));
    Membership { name, view, owners: Owners::Fixed(slots), sharing: None }
}

fn name(cluster: &ClusterConfig) -> String {
    cluster.node.clone().unwrap_or_else(|| Uuid::new_v4().to_string())
}

impl Membership {
    pub(super) fn view(&self) -> &Arc<View> {
        &self.view
    }

    pub(super) fn sharing(&self) -> Option<Sharing> {
        self.sharing.clone()
    }

    /// Starts to serve.
    async fn start(
        self,
        config: &Config,
        here: &DeliveryPorts,
        store: &PersistencePort,
        places: &Places,
    ) -> Result<Cluster, BusError> {
        let mut config = config.cluster.clone();
        if config.advertise.is_none() {
            let listed = config.nodes.iter().find(|node| node.name == self.name);
            config.advertise = listed.and_then(|node| node.advertise.clone());
        }
        Cluster::start(ClusterParts {
            config,
            name: self.name,
            view: self.view,
            bus: BusKind::Nats,
            here: here.clone(),
            store: store.clone(),
            directory: places.directory.clone(),
            rooms: places.rooms.clone(),
            owners: self.owners,
            metrics: places.metrics.clone(),
        })
        .await
    }
}

/// Where the connections of this node are.
pub(super) struct Places {
    metrics: Metrics,
    pub(super) directory: Directory,
    pub(super) rooms: Rooms,
}

impl Places {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let directory = Directory::default();
        Self { metrics: metrics.clone(), rooms: Rooms::new(directory.clone()), directory }
    }

    /// Joins the other nodes, if there are any.
    pub(super) async fn join(
        &self,
        membership: Option<Membership>,
        config: &Config,
        here: &DeliveryPorts,
        store: &PersistencePort,
    ) -> Result<Option<Cluster>, BusError> {
        match membership {
            Some(membership) => Ok(Some(membership.start(config, here, store, self).await?)),
            None => Ok(None),
        }
    }

    /// Starts the notebook, which takes turns with those of other nodes.
    pub(super) fn start_notebook(
        &self,
        notes: Arc<dyn NoteStore>,
        config: &Config,
        publisher: &Publisher,
        cluster: Option<&Cluster>,
    ) -> Notebook {
        let (publisher, rooms) = (publisher.clone(), self.rooms.clone());
        let started = publisher.broadcast_started();
        let homes = cluster.map(Cluster::note_homes);
        let notebook = Notebook::new(notes, publisher, rooms, homes, &config.notes);
        notebook.start();
        if let Some(cluster) = cluster {
            cluster.tell(notebook.clone(), started);
        }
        notebook
    }
}
