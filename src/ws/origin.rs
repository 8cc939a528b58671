//! Where a request really comes from: which address, behind proxies that are trusted to say so, and
//! which page.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::{HOST, ORIGIN};

use crate::gate::{Gate, Page};

/// The header proxies add the address of who asked them to.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address of the client: the peer, or, while that is a trusted proxy, whom it names last.
pub(crate) fn client_address(request: &HttpRequest, trusted: &[IpAddr]) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip().to_canonical();
    let named = request.headers().get_all(FORWARDED_FOR).filter_map(|value| value.to_str().ok());
    let named: Vec<&str> = named.flat_map(|list| list.split(',')).collect();
    Some(last_untrusted(peer, &named, trusted))
}

/// What the page that makes a request is to the hub, if a browser names one.
pub(crate) fn page(request: &HttpRequest, gate: &Gate) -> Page {
    let header = |name| request.headers().get(name);
    // A name that is no text is nobody's own.
    let origin = header(ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
    gate.page(origin, header(HOST).and_then(|host| host.to_str().ok()))
}

fn last_untrusted(peer: IpAddr, named: &[&str], trusted: &[IpAddr]) -> IpAddr {
    let mut address = peer;
    for name in named.iter().rev() {
        if !trusted.contains(&address) {
            break;
        }
        // What cannot be read was not written by a proxy of ours.
        let Ok(named) = name.trim().parse::<IpAddr>() else { break };
        address = named.to_canonical();
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let (proxy, inner, client) = (ip("10.0.0.1"), ip("10.0.0.2"), ip("192.0.2.7"));
        let trusted = [proxy, inner];
        let named = ["203.0.113.9", " 192.0.2.7 ", "10.0.0.2"];
        assert_eq!(last_untrusted(proxy, &named, &trusted), client);
        assert_eq!(last_untrusted(client, &["203.0.113.9"], &trusted), client);
        assert_eq!(last_untrusted(proxy, &named, &[]), proxy);
        assert_eq!(last_untrusted(proxy, &[], &trusted), proxy);
        assert_eq!(last_untrusted(proxy, &["unknown"], &trusted), proxy);
    }
}
