//! Which web pages may connect: decided by the `Origin` that a browser names and a page cannot
//! change.

/// What a page is to the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// No page: no browser asks, or none that says for whom.
    None,
    /// A page of the hub's own host.
    Own,
    /// A page that is listed by name.
    Listed,
    /// A page that may connect because every page may.
    Any,
    /// A page that may not connect.
    Foreign,
}

impl Page {
    /// Whether it may connect at all.
    pub fn may_connect(self) -> bool {
        self != Page::Foreign
    }

    /// Whether the cookies that come with its requests count: they come with any page's.
    pub fn may_use_cookies(self) -> bool {
        match self {
            Page::None | Page::Own | Page::Listed => true,
            Page::Any | Page::Foreign => false,
        }
    }
}

/// The pages that may connect, beside those of the hub's own host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Origins {
    listed: Vec<String>,
    is_any: bool,
}

impl Origins {
    pub(super) fn new(listed: &[String]) -> Self {
        let is_any = listed.iter().any(|origin| origin == "*");
        Self { listed: listed.to_vec(), is_any }
    }

    pub(super) fn page(&self, origin: Option<&str>, host: Option<&str>) -> Page {
        let Some(origin) = origin else { return Page::None };
        if host.is_some_and(|host| is_own(origin, host)) {
            return Page::Own;
        }
        if self.listed.iter().any(|listed| listed.eq_ignore_ascii_case(origin)) {
            return Page::Listed;
        }
        if self.is_any { Page::Any } else { Page::Foreign }
    }
}

/// Whether an origin is of this host. The schemes may differ: a proxy may speak TLS for the hub.
fn is_own(origin: &str, host: &str) -> bool {
    let Some((scheme, named)) = origin.split_once("://") else { return false };
    let port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |host: &'_ str| host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
    !named.is_empty() && bare(named) == bare(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_list_only_the_hubs_own_pages_connect() {
        let origins = Origins::default();
        let page = |origin| origins.page(origin, Some("hub.example:3000"));
        assert_eq!(page(None), Page::None);
        assert_eq!(page(Some("https://hub.example:3000")), Page::Own);
        assert_eq!(page(Some("http://HUB.example:3000")), Page::Own);
        for foreign in [
            "https://hub.example",
            "https://hub.example:3001",
            "https://hub.example:3000.evil.example",
            "https://evil.example",
            "file://hub.example:3000",
            "null",
            "",
        ] {
            assert_eq!(page(Some(foreign)), Page::Foreign, "{foreign}");
        }
        assert_eq!(origins.page(Some("https://hub.example"), None), Page::Foreign);
    }

    #[test]
    fn a_port_that_goes_without_saying_may_be_said() {
        let origins = Origins::default();
        let page = |origin, host| origins.page(Some(origin), Some(host));
        assert_eq!(page("https://hub.example", "hub.example:443"), Page::Own);
        assert_eq!(page("http://hub.example:80", "hub.example"), Page::Own);
        assert_eq!(page("http://hub.example", "hub.example:443"), Page::Foreign);
    }

    #[test]
    fn listed_pages_may_use_cookies_and_any_page_may_not() {
        let listed = ["https://app.example".to_owned(), "*".to_owned()];
        let origins = Origins::new(&listed);
        let page = |origin| origins.page(Some(origin), Some("hub.example"));
        assert_eq!(page("https://app.example"), Page::Listed);
        assert_eq!(page("https://evil.example"), Page::Any);
        assert_eq!(page("null"), Page::Any);
        assert!(!page("null").may_use_cookies() && page("https://app.example").may_use_cookies());
        let origins = Origins::new(&listed[..1]);
        assert_eq!(origins.page(Some("http://app.example"), None), Page::Foreign);
    }
}
