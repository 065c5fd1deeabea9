//! The client's IP address of a request that another process of ours forwarded. Rate limits count by network, and behind a gateway or
//! [proxy](Proxies) all connections would have the same address. So a gateway passes the client's address on in a header, with a MAC under
//! a key that all processes of the installation share; the service behind it trusts the address only if the MAC is right.

use std::net::IpAddr;

use hmac::{Hmac, Mac};
use poem::Request;
use poem::http::HeaderValue;
use poem::http::header::CONNECTION;
use sha2::Sha256;

use super::Proxies;

/// Writes and verifies that header. Cheap to clone.
#[derive(Clone, Default)]
pub struct ClientAddressHeader {
    /// The key of the MAC; none: this installation has no gateways in front.
    key: Option<Hmac<Sha256>>,
    /// The trusted proxies.
    proxies: Proxies,
}

impl std::fmt::Debug for ClientAddressHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientAddressHeader(…)")
    }
}

impl ClientAddressHeader {
    /// The header with the address and its MAC.
    const HEADER: &'static str = "x-inopsio-seen-from";

    /// With a key derived from a secret of the installation, and its trusted proxies.
    pub fn new(secret: Option<&[u8; 32]>, proxies: Proxies) -> Self {
        Self { key: secret.map(Self::derive), proxies }
    }

    fn derive(secret: &[u8; 32]) -> Hmac<Sha256> {
        // HMAC pads a short key with zeros to the block size; doing it here makes the key's length fit the type.
        let keyed = |key: &[u8]| {
            let mut block = [0; 64];
            block[..32].copy_from_slice(key);
            Hmac::<Sha256>::new(&block.into())
        };
        keyed(&keyed(secret).chain_update("inopsio seen from 1").finalize().into_bytes())
    }

    /// The IP address of a request's client: from the header of a gateway of ours, else from a trusted proxy, else from the connection.
    /// None: unknown.
    pub fn address(&self, request: &Request) -> Option<IpAddr> {
        let said = request.header(Self::HEADER).and_then(|text| self.read(text));
        said.or_else(|| self.proxies.client(request))
    }

    /// Sets the header on a request that is being forwarded.
    pub fn set_header(&self, request: &mut Request) {
        let text = self.address(request).and_then(|address| self.write(address));
        let headers = request.headers_mut();
        headers.remove(Self::HEADER);
        // What `Connection` names is not passed on (RFC 9110 section 7.6.1), and the client must not decide that about our header.
        let named = headers.get_all(CONNECTION).iter().any(|value| {
            let mut names = value.to_str().unwrap_or_default().split(',');
            names.any(|name| name.trim().eq_ignore_ascii_case(Self::HEADER))
        });
        if named {
            headers.remove(CONNECTION);
        }
        if let Some(text) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(Self::HEADER, text);
        }
    }

    /// The header's value for an address.
    fn write(&self, address: IpAddr) -> Option<String> {
        let mac = self.key.clone()?.chain_update(address.to_string()).finalize().into_bytes();
        Some(format!("{address} {}", hex::encode(mac)))
    }

    /// The address in the header; none: its MAC is wrong.
    fn read(&self, text: &str) -> Option<IpAddr> {
        let (address, mac) = text.split_once(' ')?;
        self.key.clone()?.chain_update(address).verify_slice(&hex::decode(mac).ok()?).ok()?;
        address.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_believed_from_who_has_the_key_only() {
        let of = |secret| ClientAddressHeader::new(Some(&secret), Proxies::default());
        let (ours, other) = (of([7; 32]), of([8; 32]));
        for address in ["192.0.2.7", "2001:db8::1"] {
            let address: IpAddr = address.parse().unwrap();
            let text = ours.write(address).unwrap();
            assert_eq!((ours.read(&text), other.read(&text)), (Some(address), None));
            assert_eq!(ours.read(&text.replace('2', "3")), None);
        }
        for nonsense in ["", "192.0.2.7", "192.0.2.7 ", "192.0.2.7 00"] {
            assert_eq!(ours.read(nonsense), None, "{nonsense}");
        }
        assert_eq!(ClientAddressHeader::default().read(&ours.write(IpAddr::from([192, 0, 2, 7])).unwrap()), None);
    }

    #[test]
    fn attack_168_a_client_that_names_our_header_in_connection_does_not_have_it_left_out() {
        let ours = ClientAddressHeader::new(Some(&[7; 32]), Proxies::default());
        for connection in ["x-inopsio-seen-from", "close, X-Inopsio-Seen-From", "keep-alive,  x-inopsio-seen-from ,te"]
        {
            let from = ours.write(IpAddr::from([192, 0, 2, 7])).unwrap();
            let header = ClientAddressHeader::HEADER;
            let mut request = Request::builder().header(CONNECTION, connection).header(header, from.as_str()).finish();
            ours.set_header(&mut request);
            assert_eq!(request.header(header), Some(from.as_str()), "{connection}");
            assert_eq!(request.header(CONNECTION), None, "{connection}");
        }
        let mut request = Request::builder().header(CONNECTION, "upgrade").finish();
        ours.set_header(&mut request);
        assert_eq!(request.header(CONNECTION), Some("upgrade"));
    }
}
