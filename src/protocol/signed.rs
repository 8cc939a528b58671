//! A frame in a signed envelope, as it came in.

use bytestring::ByteString;

/// The parts of an envelope. Each is the JSON text as received: what was signed is the text, and
/// writing it anew would not give the same one.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedFrame {
    /// The frame itself.
    pub payload: ByteString,
    /// When it was signed.
    pub timestamp: ByteString,
    /// What makes it good only once.
    pub nonce: ByteString,
    /// The signature's own text, in base64.
    pub signature: String,
}

impl std::fmt::Debug for SignedFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedFrame").field("timestamp", &self.timestamp).finish_non_exhaustive()
    }
}
