//! What an actor that stands for the store may be asked, spelled once for all of them.

/// A `PersistencePort` to `$addr`, with the fields that are not plain questions to it.
macro_rules! port_to {
    ($addr:expr, { $($rest:tt)* }) => {
        $crate::persistence::messages::PersistencePort {
            append: $addr.clone().recipient(),
            save_sessions: $addr.clone().recipient(),
            save_floors: $addr.clone().recipient(),
            delete_sessions: $addr.clone().recipient(),
            claim_session: $addr.clone().recipient(),
            load_user: $addr.clone().recipient(),
            read_log: $addr.clone().recipient(),
            read_page: $addr.clone().recipient(),
            check_health: $addr.clone().recipient(),
            find_event: $addr.clone().recipient(),
            start_broadcast: $addr.clone().recipient(),
            next_broadcast: $addr.clone().recipient(),
            broadcast_progress: $addr.clone().recipient(),
            flush: $addr.clone().recipient(),
            observe_pruning: $addr.clone().recipient(),
            $($rest)*
        }
    };
}
pub(crate) use port_to;
