//! The connections of one worker, each at a place of its own.
//!
//! Pure: places are used again, names never are, because a generation tells two tenants of one
//! place apart.

use crate::protocol::ConnectionId;

/// A table of `T`s by [`ConnectionId`].
#[derive(Debug)]
pub struct Places<T> {
    worker: u32,
    places: Vec<Place<T>>,
    free: Vec<u32>,
    len: usize,
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    tenant: Option<T>,
}

impl<T> Places<T> {
    /// An empty table of this worker.
    pub fn new(worker: u32) -> Self {
        Self { worker, places: Vec::new(), free: Vec::new(), len: 0 }
    }

    /// Gives `make` a name and keeps what it makes under it.
    pub fn insert(&mut self, make: impl FnOnce(ConnectionId) -> T) -> ConnectionId {
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.places.push(Place { generation: 0, tenant: None });
                self.places.len() as u32 - 1
            }
        };
        let mut id = ConnectionId { worker: self.worker, place, generation: 0 };
        if let Some(slot) = self.places.get_mut(place as usize) {
            id.generation = slot.generation;
            slot.tenant = Some(make(id));
            self.len += 1;
        }
        id
    }

    /// Whoever has this name, if it is still there.
    pub fn get(&self, id: ConnectionId) -> Option<&T> {
        let place = self.places.get(id.place as usize)?;
        if place.generation != id.generation || self.worker != id.worker {
            return None;
        }
        place.tenant.as_ref()
    }

    /// Forgets a name for ever.
    pub fn remove(&mut self, id: ConnectionId) -> Option<T> {
        self.get(id)?;
        let place = self.places.get_mut(id.place as usize)?;
        let tenant = place.tenant.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(id.place);
        self.len -= 1;
        Some(tenant)
    }

    /// Everyone.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().filter_map(|place| place.tenant.as_ref())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_used_again_but_never_a_name() {
        let mut places = Places::new(3);
        let first = places.insert(|_| "first");
        assert_eq!(places.get(first), Some(&"first"));
        assert_eq!(places.remove(first), Some("first"));
        assert_eq!(places.remove(first), None);
        let second = places.insert(|_| "second");
        assert_eq!(second.place, first.place);
        assert_eq!(places.get(first), None);
        assert_eq!(places.get(second), Some(&"second"));
        assert_eq!(places.len(), 1);
    }

    #[test]
    fn a_name_of_another_worker_is_unknown() {
        let mut places = Places::new(3);
        let id = places.insert(|_| ());
        assert_eq!(places.get(ConnectionId { worker: 4, ..id }), None);
    }
}
