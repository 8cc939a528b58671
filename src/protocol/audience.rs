//! Which of a user's connections an event is for.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

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

/// The event that ends one session, whose name is its only argument: nobody else gets it.
pub const SESSION_DELETE: &str = "on_session_delete";

/// The session an event is for, if it is for one only.
pub(crate) fn only_session(content: &EventContent) -> Option<Cow<'_, str>> {
    /// A text, borrowed where it has no escapes.
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    if content.kind != SESSION_DELETE {
        return None;
    }
    let (args, data) = (content.args.as_deref(), content.data.as_deref());
    // Arguments of another shape were refused when it was published: then it is for nobody.
    let named = match (args.map(RawValue::get), data.map(RawValue::get)) {
        (Some(args), _) => {
            serde_json::from_str::<Vec<Text<'_>>>(args).ok().and_then(|mut list| list.pop())
        }
        (None, Some(data)) => serde_json::from_str(data).ok(),
        (None, None) => None,
    };
    Some(named.map_or(Cow::Borrowed(""), |text| text.0))
}

/// The accounts a token is limited to; the default is not limited. It may be of one session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    listed: Option<Arc<[Box<str>]>>,
    default: Option<&'static str>,
    session: Option<Arc<str>>,
}

impl Accounts {
    /// Limited to `listed`, or not at all.
    pub fn new(listed: Option<&[String]>) -> Self {
        let listed =
            listed.map(|listed| listed.iter().map(|account| account.as_str().into()).collect());
        Self { listed, default: None, session: None }
    }

    /// With an account for what names none; without, that is everybody's.
    #[must_use]
    pub fn or_default(self, default: Option<&'static str>) -> Self {
        Self { default, ..self }
    }

    /// Of this session of the application's.
    #[must_use]
    pub fn of_session(self, session: Option<&str>) -> Self {
        Self { session: session.map(Arc::from), ..self }
    }

    /// Whether there is an account for what names none.
    pub(crate) fn has_default(&self) -> bool {
        self.default.is_some()
    }

    /// The session they are of, if they are of one.
    pub(crate) fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Whether they are of this session.
    pub fn is_of(&self, session: &str) -> bool {
        self.session.as_deref() == Some(session)
    }

    /// The accounts themselves; none: all.
    pub fn listed(&self) -> Option<&Arc<[Box<str>]>> {
        self.listed.as_ref()
    }

    /// Whether each of them is among `known`.
    pub fn are_among(&self, known: Option<&Arc<[Box<str>]>>) -> bool {
        match (self.listed.as_deref(), known) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(listed), Some(known)) => listed.iter().all(|account| known.contains(account)),
        }
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
            && only_session(content).is_none_or(|session| self.is_of(&session))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_token_lists_is_among_what_it_listed_before_or_not() {
        let list = |names: &[&str]| {
            Accounts::new(Some(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()))
        };
        let both = list(&["personal", "business"]);
        assert!(list(&["business"]).are_among(both.listed()));
        assert!(both.are_among(None) && Accounts::new(None).are_among(None));
        assert!(!both.are_among(list(&["business"]).listed()));
        assert!(!Accounts::new(None).are_among(both.listed()));
    }

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
