//! Validates the header `Host` (RFC 9112 section 3.2): there must be exactly one, with a valid host. Otherwise we and a proxy before us
//! might interpret a request differently.

use std::net::Ipv6Addr;

use kernel::Refusal;
use poem::Request;
use poem::http::{HeaderValue, Uri, Version, header};

/// Refuses requests whose host is missing or invalid. (HTTP/1.0 does not require the header. HTTP/2 has `:authority` instead, and the
/// header, if present, must name the same host.)
///
/// # Errors
/// `header_invalid`.
pub fn check(request: &Request) -> Result<(), Refusal> {
    let mut given = request.headers().get_all(header::HOST).iter();
    let host = match (given.next(), given.next()) {
        (None, _) if request.version() == Version::HTTP_11 => return Err(refused("it is missing")),
        (None, _) => return Ok(()),
        (Some(_), Some(_)) => return Err(refused("it may be given only once")),
        (Some(host), None) => host,
    };
    if !is_host(host) {
        Err(refused("allowed is a name or an address and, after a colon, a port, such as api.example.com:8080"))
    } else if request.version() == Version::HTTP_2 && differs(request.uri(), host) {
        Err(refused("it is another one than that of :authority"))
    } else {
        Ok(())
    }
}

/// Whether `Host` names another host than the request's `:authority` (RFC 9113 section 8.3.1).
fn differs(uri: &Uri, host: &HeaderValue) -> bool {
    let usual: Option<u16> = match uri.scheme_str() {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    };
    // Case is insignificant, and a missing port means the scheme's default port (RFC 3986 section 6.2).
    let meant = |text: &str| {
        let (host, port) = split(text);
        (host.to_ascii_lowercase(), port.parse().ok().or(usual))
    };
    let (authority, host) = (uri.authority().map(|authority| meant(authority.as_str())), host.to_str().ok().map(meant));
    authority.is_some_and(|authority| host.as_ref() != Some(&authority))
}

fn refused(what: &str) -> Refusal {
    let detail = format!("the header host is not valid: {what}");
    Refusal::invalid("header_invalid", detail).with("header", "host")
}

/// Whether it is `uri-host [ ":" port ]` (RFC 9110 section 7.2) with a host that is not empty.
fn is_host(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let (host, port) = split(text);
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    address.map_or_else(|| is_name(host), |address| address.parse::<Ipv6Addr>().is_ok()) && is_port(port)
}

/// The host and the port, which may be empty.
fn split(text: &str) -> (&str, &str) {
    match text.rsplit_once(':') {
        // The colons of an IPv6 address are within its brackets.
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (text, ""),
    }
}

/// Whether it is a registered name or an IPv4 address (RFC 3986 section 3.2.2).
fn is_name(host: &str) -> bool {
    let plain =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte));
    let encoded = |part: &str| part.len() >= 2 && part.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    let mut parts = host.split('%');
    !host.is_empty() && parts.next().is_some_and(plain) && parts.all(|part| encoded(part) && plain(part))
}

fn is_port(port: &str) -> bool {
    port.is_empty() || port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        let is = |text: &str| is_host(&HeaderValue::from_bytes(text.as_bytes()).unwrap());
        for host in [
            "localhost",
            "api.example.com:8080",
            "api.example.com.",
            "my_service:1",
            "127.0.0.1:65535",
            "[::1]",
            "[2001:db8::7]:443",
            "x:",
            "xn--bcher-kva.example",
            "b%C3%BCcher.example",
        ] {
            assert!(is(host), "{host}");
        }
        for none in [
            "",
            ":80",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "user@example.com",
            "a:b",
            "a:+80",
            "a:65536",
            "a:80:80",
            "::1",
            "[::1",
            "[::1]x",
            "[nowhere]",
            "a%zz",
            "a%2",
            "a, b",
            "bücher.example",
        ] {
            assert!(!is(none), "{none}");
        }
    }

    #[test]
    fn only_what_has_to_name_its_host_is_asked_for_it() {
        let asked = |version: Version, hosts: &[&str]| {
            let request = Request::builder().version(version);
            check(&hosts.iter().fold(request, |request, host| request.header("host", *host)).finish())
        };
        let told = |refused: Result<(), Refusal>| refused.unwrap_err().detail().to_owned();
        assert!(told(asked(Version::HTTP_11, &[])).contains("missing"));
        assert!(told(asked(Version::HTTP_11, &["a", "a"])).contains("once"));
        assert!(told(asked(Version::HTTP_10, &["a", "b"])).contains("once"));
        assert!(told(asked(Version::HTTP_2, &["a b"])).contains("api.example.com"));
        for (version, hosts) in
            [(Version::HTTP_11, &["a"][..]), (Version::HTTP_10, &[][..]), (Version::HTTP_2, &[][..])]
        {
            assert_eq!(asked(version, hosts), Ok(()), "{version:?}");
        }
    }

    #[test]
    fn what_is_said_twice_is_the_same() {
        let asked = |version: Version, uri: &'static str, host: &str| {
            check(&Request::builder().version(version).uri(Uri::from_static(uri)).header("host", host).finish()).is_ok()
        };
        for (uri, host, same) in [
            ("http://a.example/", "a.example", true),
            ("http://a.example:80/", "A.Example", true),
            ("https://a.example/", "a.example:443", true),
            ("https://a.example/", "a.example:", true),
            ("http://[::1]:8080/", "[::1]:8080", true),
            ("https://a.example/", "a.example:80", false),
            ("http://a.example/", "b.example", false),
            ("http://b@a.example/", "a.example", false),
            ("http://[::1]/", "[::2]", false),
        ] {
            assert_eq!(asked(Version::HTTP_2, uri, host), same, "{uri} {host}");
            // There what the URI says counts alone (RFC 9112 section 3.2.2).
            assert!(asked(Version::HTTP_11, uri, host), "{uri} {host}");
        }
    }
}
