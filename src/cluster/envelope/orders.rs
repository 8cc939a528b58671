//! Orders for connections of another node: an event travels once, however many get it, and is
//! spelled over there.

use crate::cluster::wire::{Input, Wire};
use crate::dialect::EventFrames;
use crate::registry::messages::Order;

/// Writes orders; those of rooms never leave their node.
pub(in crate::cluster) fn put_orders(orders: &[Order], out: &mut Vec<u8>) {
    for order in orders {
        match order {
            Order::FanOut { user, frames, room, targets, kind } => {
                1u8.put(out);
                user.put(out);
                frames.event().put(out);
                room.put(out);
                targets.put(out);
                kind.put(out);
            }
            Order::Say { connection, push } => {
                2u8.put(out);
                connection.put(out);
                push.put(out);
            }
            Order::Close { connection, code } => {
                3u8.put(out);
                connection.put(out);
                code.put(out);
            }
            Order::Resumed { connection } => {
                4u8.put(out);
                connection.put(out);
            }
            Order::Room { .. } | Order::LeaveRoom { .. } => {}
        }
    }
}

/// Reads orders, to the end.
pub(in crate::cluster) fn get_orders(input: &mut Input<'_>) -> Option<Vec<Order>> {
    let mut orders = Vec::new();
    while !input.is_empty() {
        orders.push(match u8::get(input)? {
            1 => Order::FanOut {
                user: Wire::get(input)?,
                frames: EventFrames::new(Wire::get(input)?),
                room: Wire::get(input)?,
                targets: Wire::get(input)?,
                kind: Wire::get(input)?,
            },
            2 => Order::Say { connection: Wire::get(input)?, push: Wire::get(input)? },
            3 => Order::Close { connection: Wire::get(input)?, code: Wire::get(input)? },
            4 => Order::Resumed { connection: Wire::get(input)? },
            _ => return None,
        });
    }
    Some(orders)
}
