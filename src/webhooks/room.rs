//! How many posts, and of how many bytes, may wait for one receiver.

use tokio::sync::watch;

#[derive(Clone, Copy, Debug, Default)]
struct Used {
    posts: usize,
    bytes: usize,
}

/// The room for posts to one receiver. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Room {
    used: watch::Sender<Used>,
    posts_max: usize,
    bytes_max: usize,
}

/// The place of one post; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    used: watch::Sender<Used>,
    bytes: usize,
}

impl Room {
    pub(super) fn new(posts_max: usize, bytes_max: usize) -> Self {
        Self { used: watch::Sender::new(Used::default()), posts_max, bytes_max }
    }

    /// Takes in a post of `bytes`, unless there is no room. A single post may be larger than the
    /// room.
    pub(super) fn enter(&self, bytes: usize) -> Option<Seat> {
        let mut has_entered = false;
        self.used.send_if_modified(|used| {
            has_entered = used.posts == 0
                || (used.posts < self.posts_max
                    && used.bytes.saturating_add(bytes) <= self.bytes_max);
            if has_entered {
                used.posts += 1;
                used.bytes += bytes;
            }
            has_entered
        });
        has_entered.then(|| Seat { used: self.used.clone(), bytes })
    }

    /// Waits until nobody is in the room.
    pub(super) async fn emptied(&self) {
        // An error would mean that the sender is gone, which is `self`.
        let _ = self.used.subscribe().wait_for(|used| used.posts == 0).await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.used.send_modify(|used| {
            used.posts -= 1;
            used.bytes -= self.bytes;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_posts_nor_bytes_pass_their_bounds() {
        let room = Room::new(3, 100);
        let large = room.enter(500).unwrap();
        assert!(room.enter(1).is_none(), "a large one is alone");
        drop(large);
        let _seats = [room.enter(60).unwrap(), room.enter(40).unwrap()];
        assert!(room.enter(1).is_none());
        let third = room.enter(0).unwrap();
        assert!(room.enter(0).is_none());
        drop(third);
        assert!(room.enter(0).is_some());
    }

    #[actix::test]
    async fn an_empty_room_is_noticed() {
        let room = Room::new(3, 100);
        room.emptied().await;
        let seat = room.enter(1).unwrap();
        let leave = async {
            tokio::task::yield_now().await;
            drop(seat);
        };
        tokio::join!(room.emptied(), leave);
        assert!(room.enter(100).is_some());
    }
}
