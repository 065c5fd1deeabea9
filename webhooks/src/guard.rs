//! Protection against server-side request forgery: webhooks can only reach public addresses. Otherwise a tenant could send requests to
//! servers inside our network.
//!
//! Addresses are checked when a connection is made, and the connection uses one of the checked addresses, because the sender's resolver is
//! this guard. So a name that resolves differently a moment later (DNS rebinding) gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;
use url::Url;

/// The maximum length of a URL, in bytes.
const LONGEST: usize = 2_048;

/// The policy of addresses that may be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// Also allow private addresses and plain http. For development only.
    pub allow_private: bool,
}

/// Why a URL may not be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// The URL is invalid, or of a form that is not allowed.
    #[error("{0}")]
    Url(&'static str),
    /// The address is not public.
    #[error("{0} is not a public address; only public addresses can be called")]
    Private(IpAddr),
    /// The name resolves to an address that is not public. The error does not contain the address, since it may be that of a name in our
    /// own network.
    #[error("the address of {0} is not a public address; only public addresses can be called")]
    Inside(String),
    /// The name is one for use inside a network.
    #[error("{0} is a name for use inside a network; only public hosts can be called")]
    Name(String),
}

impl Guard {
    /// Checks a URL itself. The addresses of its host's name are checked when it is used.
    pub fn url(&self, text: &str) -> Result<Url, Unreachable> {
        if text.len() > LONGEST {
            return Err(Unreachable::Url("a URL can have at most 2048 bytes"));
        }
        let url = Url::parse(text).map_err(|_| Unreachable::Url("not a URL like https://example.com/hooks"))?;
        match url.scheme() {
            "https" => {}
            "http" if self.allow_private => {}
            _ => return Err(Unreachable::Url("only https is allowed")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Unreachable::Url(
                "a URL with a user or password is not allowed; the signature proves the sender",
            ));
        }
        if url.fragment().is_some() {
            return Err(Unreachable::Url("a URL with a fragment (#…) is not allowed: it would never be sent"));
        }
        if url.port() == Some(0) {
            return Err(Unreachable::Url("port 0 is not allowed"));
        }
        let host = url.host_str().unwrap_or_default();
        // The URL parser has already converted all spellings of numeric addresses (127.1, 0x7f000001, 2130706433).
        match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(address) => self.address(address)?,
            Err(_) => self.name(host)?,
        }
        Ok(url)
    }

    /// Checks an address.
    pub fn address(&self, address: IpAddr) -> Result<(), Unreachable> {
        if self.allow_private || is_public(address) { Ok(()) } else { Err(Unreachable::Private(address)) }
    }

    fn name(&self, host: &str) -> Result<(), Unreachable> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let inside = !host.contains('.')
            || [".localhost", ".local", ".internal", ".intranet", ".lan", ".home.arpa", ".svc"]
                .iter()
                .any(|suffix| host.ends_with(suffix));
        if self.allow_private || !inside { Ok(()) } else { Err(Unreachable::Name(host)) }
    }

    /// Resolves a name. It is refused if any of its addresses may not be reached.
    async fn resolve(self, name: String) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
        if addresses.iter().any(|address| self.address(address.ip()).is_err()) {
            return Err(Unreachable::Inside(name).into());
        }
        Ok(addresses)
    }
}

/// The resolver of the sender's connections.
impl Service<Name> for Guard {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let guard = *self;
        Box::pin(async move { Ok(guard.resolve(name.as_str().to_owned()).await?.into_iter()) })
    }
}

/// Whether an address is one of the public internet (IANA's special-purpose registries).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0 // "this network"
        || a == 10
        || a == 127
        || (a == 100 && (64..128).contains(&b)) // behind a provider's translation
        || (a == 169 && b == 254) // link-local, metadata of clouds
        || (a == 172 && (16..32).contains(&b))
        || (a == 192 && b == 0 && (c == 0 || c == 2)) // protocol assignments, documentation
        || (a == 192 && b == 88 && c == 99) // 6to4 relays
        || (a == 192 && b == 168)
        || (a == 198 && (b == 18 || b == 19)) // benchmarks
        || (a == 198 && b == 51 && c == 100) // documentation
        || (a == 203 && b == 0 && c == 113) // documentation
        || a >= 224) // multicast, reserved, broadcast
}

/// Only global unicast addresses (2000::/3) are public, without those that stand for IPv4 addresses, or are reserved for documentation and
/// the like.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let special = match first {
        // Teredo, ORCHID, benchmarks; documentation.
        0x2001 => second < 0x0200 || second == 0x0db8,
        // 6to4: it embeds an IPv4 address.
        0x2002 => true,
        // Documentation.
        0x3fff => second < 0x1000,
        _ => false,
    };
    first & 0xe000 == 0x2000 && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUARD: Guard = Guard { allow_private: false };

    #[test]
    fn only_public_addresses_are_public() {
        for inside in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.9.9",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
        ] {
            let address = inside.parse().unwrap();
            assert_eq!(GUARD.address(address), Err(Unreachable::Private(address)), "{inside}");
            assert_eq!(Guard { allow_private: true }.address(address), Ok(()));
        }
        for outside in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4001::1",
            "2001:4860:4860::8888",
        ] {
            assert_eq!(GUARD.address(outside.parse().unwrap()), Ok(()), "{outside}");
        }
    }

    #[test]
    fn urls_that_lead_inside_or_nowhere_are_refused_however_they_are_spelt() {
        for refused in [
            "",
            "example.com",
            "ftp://example.com",
            "http://example.com",
            "file:///etc/passwd",
            "gopher://example.com",
            "https://",
            "https://user@example.com/",
            "https://user:secret@example.com/",
            "https://example.com/#part",
            "https://example.com:0/",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest/meta-data",
            "https://localhost/",
            "https://LOCALHOST:8443/",
            "https://localhost./",
            "https://db/",
            "https://a.localhost/",
            "https://metadata.google.internal/",
            "https://api.default.svc/",
            "https://printer.local/",
            "https://１２７.0.0.1/",
        ] {
            assert!(GUARD.url(refused).is_err(), "{refused}");
        }
        assert!(GUARD.url(&format!("https://example.com/{}", "x".repeat(LONGEST))).is_err());
        for taken in [
            "https://example.com/hooks?tenant=1",
            "https://hooks.example.com:8443/",
            "https://1.1.1.1/",
            "https://bücher.example/",
        ] {
            assert!(GUARD.url(taken).is_ok(), "{taken}");
        }
        let dev = Guard { allow_private: true };
        assert!(dev.url("http://127.0.0.1:9000/hooks").is_ok() && dev.url("http://localhost/").is_ok());
        assert!(dev.url("ftp://127.0.0.1/").is_err());
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_an_address_inside_is_refused_when_it_is_used() {
        // Whatever `localhost` is here, it is the machine itself.
        let error = GUARD.resolve("localhost".to_owned()).await.unwrap_err();
        let said = error.to_string();
        assert!(said.contains("not a public address"), "{said}");
        assert!(!said.contains("127.0.0.1") && !said.contains("::1"), "it tells what names of ours lead to: {said}");
        assert!(!Guard { allow_private: true }.resolve("localhost".to_owned()).await.unwrap().is_empty());
    }
}
