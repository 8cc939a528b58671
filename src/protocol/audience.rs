//! Which of a user's connections an event is for.

use std::sync::Arc;

use super::{ConnectionId, EventContent, NoteId};

/// Which live connections an event is not for, beside those of its `exclude_session`. Not kept:
/// it is about connections, and they do not outlive the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audience {
    /// The connection that caused it.
    pub except: Option<ConnectionId>,
    /// Plain connections get it only if they joined the room of this note. Sessions are owed it
    /// all the same.
    pub room: Option<NoteId>,
}

/// The accounts a token is limited to; the default is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    listed: Option<Arc<[Box<str>]>>,
    default: Option<&'static str>,
}

impl Accounts {
    /// Limited to `listed`, or not at all.
    pub fn new(listed: Option<&[String]>) -> Self {
        let listed =
            listed.map(|listed| listed.iter().map(|account| account.as_str().into()).collect());
        Self { listed, default: None }
    }

    /// With an account for what names none; without, that is everybody's.
    #[must_use]
    pub fn or_default(self, default: Option<&'static str>) -> Self {
        Self { default, ..self }
    }

    /// Whether `account` is one of them.
    pub fn list(&self, account: Option<&str>) -> bool {
        match (&self.listed, account.or(self.default)) {
            (Some(listed), Some(account)) => listed.iter().any(|listed| &**listed == account),
            (None, _) | (_, None) => true,
        }
    }

    /// Whether an event concerns a token with these accounts.
    pub fn take(&self, content: &EventContent) -> bool {
        self.list(content.account.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_lists_accounts_is_limited_to_them() {
        let personal = Accounts::new(Some(&["personal".to_owned()]));
        assert!(personal.list(Some("personal")) && personal.list(None));
        assert!(!personal.list(Some("business")));
        let business = Accounts::new(Some(&["business".to_owned()]));
        assert!(business.list(None));
        assert!(!business.or_default(Some("personal")).list(None));
        assert!(Accounts::new(None).list(Some("business")));
        assert!(!Accounts::new(Some(&[])).list(Some("personal")));
    }
}
