//! The client's IP address of a request that came through reverse proxies.
//!
//! A proxy appends the address of its client to `X-Forwarded-For`; whatever stands before that, the client may have forged. So the header
//! is read from its end, only if it comes from a proxy that the configuration names, and only as far as the addresses in it are such
//! proxies: the first other one is the client. RFC 7239's `Forwarded` is not read, for a proxy that writes only `X-Forwarded-For` passes a
//! client's `Forwarded` on unchanged.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use poem::Request;
use poem::http::HeaderMap;

/// The header to which proxies append the address of their client.
const HEADER: &str = "x-forwarded-for";

/// The trusted proxies: none, unless the configuration names some. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(Arc<[IpNet]>);

impl From<Vec<IpNet>> for Proxies {
    fn from(networks: Vec<IpNet>) -> Self {
        Self(networks.into())
    }
}

impl Proxies {
    /// The IP address of a request's client; none: unknown.
    pub fn client(&self, request: &Request) -> Option<IpAddr> {
        let peer = request.remote_addr().as_socket_addr().map(SocketAddr::ip)?;
        Some(self.behind(peer, request.headers()))
    }

    /// The client's address, given the peer of the connection and the headers.
    fn behind(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        // Several header lines are one list, in their order (RFC 9110 section 5.3).
        let lists: Vec<&str> = headers.get_all(HEADER).iter().map(|value| value.to_str().unwrap_or("?")).collect();
        for said in lists.iter().rev().flat_map(|list| list.rsplit(',')) {
            if !self.has(client) {
                break;
            }
            // An unreadable entry ends the search, and nothing before it is trusted.
            let Some(address) = read(said) else { break };
            client = address;
        }
        client
    }

    fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Parses an address as proxies write it, some with a port.
fn read(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse::<IpAddr>().ok().or_else(bare).or_else(with_port).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    fn client(trusted: &[&str], peer: &str, lists: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for list in lists {
            headers.append(HEADER, HeaderValue::from_bytes(list.as_bytes()).unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        Proxies::from(trusted).behind(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn nobody_is_believed_who_is_no_proxy_of_ours() {
        assert_eq!(client(&[], "192.0.2.9", &["198.51.100.1"]), "192.0.2.9");
        assert_eq!(client(&["10.0.0.0/8"], "192.0.2.9", &["10.0.0.1", "198.51.100.1"]), "192.0.2.9");
    }

    #[test]
    fn the_client_is_the_last_address_that_is_no_proxy_of_ours() {
        let ours = ["10.0.0.0/8", "2001:db8:f::1/128"];
        for (peer, lists, expected) in [
            ("10.0.0.1", &[][..], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            // The client may have forged whatever stands before it.
            ("10.0.0.1", &["203.0.113.5, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["10.0.0.9, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["203.0.113.5", "198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["203.0.113.5, 198.51.100.1, 10.2.0.1,2001:db8:f::1"], "198.51.100.1"),
            ("2001:db8:f::1", &["2001:db8::7"], "2001:db8::7"),
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]"], "2001:db8::7"),
            ("10.0.0.1", &["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
            // An unreadable entry ends the search.
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, unknown, 10.0.0.3"], "10.0.0.3"),
            ("10.0.0.1", &["198.51.100.1", "\u{ff}"], "10.0.0.1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
        ] {
            assert_eq!(client(&ours, peer, lists), expected, "{peer} {lists:?}");
        }
    }
}
