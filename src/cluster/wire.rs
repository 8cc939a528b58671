//! How values travel between nodes: little-endian, length before content, nothing optional but
//! what says so.
//!
//! Reading never panics and never allocates more than it was given: what does not fit is refused
//! as a whole.

mod delivery;
mod language;
mod notes;
mod stores;

use std::sync::Arc;
use std::time::Duration;

/// What is left to read.
#[derive(Debug)]
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// A length, and that many bytes of text.
    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

impl<'a> Input<'a> {
    /// A length, and that many bytes.
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = u32::get(self)? as usize;
        self.take(count)
    }

    /// Everything that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

/// Something that travels.
pub(super) trait Wire: Sized {
    /// Writes it.
    fn put(&self, out: &mut Vec<u8>);

    /// Reads it; none when these are not its bytes.
    fn get(input: &mut Input<'_>) -> Option<Self>;
}

/// Writes a length and text. What is too long for its length was refused long before.
pub(super) fn put_text(text: &str, out: &mut Vec<u8>) {
    (text.len() as u32).put(out);
    out.extend_from_slice(text.as_bytes());
}

macro_rules! wire_numbers {
    ($($number:ty),*) => {$(
        impl Wire for $number {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn get(input: &mut Input<'_>) -> Option<Self> {
                input.array().map(<$number>::from_le_bytes)
            }
        }
    )*};
}

wire_numbers!(u8, u16, u32, u64, i64);

/// A value of one field.
macro_rules! wire_newtypes {
    ($($name:ident($inner:ty)),* $(,)?) => {$(
        impl Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                self.0.put(out);
            }

            fn get(input: &mut Input<'_>) -> Option<Self> {
                <$inner>::get(input).map($name)
            }
        }
    )*};
}

/// A value of named fields, in the order given.
macro_rules! wire_struct {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                let $name { $($field),* } = self;
                $($field.put(out);)*
            }

            fn get(input: &mut Input<'_>) -> Option<Self> {
                $(let $field = Wire::get(input)?;)*
                Some($name { $($field),* })
            }
        }
    };
}

/// A choice of words, each with its number.
macro_rules! wire_words {
    ($name:ty { $($number:literal => $word:pat = $value:expr),* $(,)? }) => {
        impl Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                let number: u8 = match self { $($word => $number),* };
                number.put(out);
            }

            fn get(input: &mut Input<'_>) -> Option<Self> {
                match u8::get(input)? {
                    $($number => Some($value),)*
                    _ => None,
                }
            }
        }
    };
}

pub(super) use {wire_newtypes, wire_struct, wire_words};

impl Wire for bool {
    fn put(&self, out: &mut Vec<u8>) {
        u8::from(*self).put(out);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        match u8::get(input)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Wire for usize {
    fn put(&self, out: &mut Vec<u8>) {
        (*self as u64).put(out);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        usize::try_from(u64::get(input)?).ok()
    }
}

impl Wire for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_text(self, out);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        input.text().map(str::to_owned)
    }
}

/// In whole milliseconds.
impl Wire for Duration {
    fn put(&self, out: &mut Vec<u8>) {
        u64::try_from(self.as_millis()).unwrap_or(u64::MAX).put(out);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        u64::get(input).map(Duration::from_millis)
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        if bool::get(input)? { T::get(input).map(Some) } else { Some(None) }
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u32).put(out);
        for value in self {
            value.put(out);
        }
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        let count = u32::get(input)? as usize;
        // Everything takes a byte at least: a count that lies is noticed before it costs memory.
        if count > input.0.len() {
            return None;
        }
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(T::get(input)?);
        }
        Some(values)
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        Some((A::get(input)?, B::get(input)?))
    }
}

impl<T: Wire> Wire for Arc<T> {
    fn put(&self, out: &mut Vec<u8>) {
        (**self).put(out);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        T::get(input).map(Arc::new)
    }
}

impl<T: Wire, E: Wire> Wire for Result<T, E> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_ok().put(out);
        match self {
            Ok(value) => value.put(out),
            Err(error) => error.put(out),
        }
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        if bool::get(input)? { T::get(input).map(Ok) } else { E::get(input).map(Err) }
    }
}
