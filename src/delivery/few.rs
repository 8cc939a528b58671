//! A map for the few things one user has: in order, in one piece of memory no larger than needed.
//!
//! Most users have one connection or two; a hash table's smallest piece holds four.

/// A sorted map. Looking up is logarithmic, adding and removing moves what lies behind.
#[derive(Clone, Debug)]
pub(super) struct Few<K, V>(Vec<(K, V)>);

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, V> Few<K, V> {
    /// Puts a value in, and gives back the one that was there.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.place(&key) {
            Ok(place) => self.0.get_mut(place).map(|(_, known)| std::mem::replace(known, value)),
            Err(place) => {
                self.0.reserve_exact(1 + self.0.len() / 2);
                self.0.insert(place, (key, value));
                None
            }
        }
    }

    /// Takes a value out.
    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let place = self.place(key).ok()?;
        let (_, value) = self.0.remove(place);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        Some(value)
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.0.get(self.place(key).ok()?).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let place = self.place(key).ok()?;
        self.0.get_mut(place).map(|(_, value)| value)
    }

    pub(super) fn contains_key(&self, key: &K) -> bool {
        self.place(key).is_ok()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    fn place(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(key))
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Few<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut few = Self(pairs.into_iter().collect());
        few.0.sort_by(|(a, _), (b, _)| a.cmp(b));
        few.0.dedup_by(|(a, _), (b, _)| a == b);
        few.0.shrink_to_fit();
        few
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((any::<bool>(), 0u8..16, any::<u8>()), 0..200)) {
            let (mut few, mut map) = (Few::default(), BTreeMap::new());
            for (is_insert, key, value) in steps {
                if is_insert {
                    prop_assert_eq!(few.insert(key, value), map.insert(key, value));
                } else {
                    prop_assert_eq!(few.remove(&key), map.remove(&key));
                }
                prop_assert_eq!(few.get(&key), map.get(&key));
                prop_assert_eq!(few.contains_key(&key), map.contains_key(&key));
                prop_assert_eq!((few.len(), few.is_empty()), (map.len(), map.is_empty()));
                prop_assert!(few.iter().eq(map.iter()));
            }
        }
    }
}
