//! From where a request came to whom it came first. The limits of attempts count by network; the address of a gateway of ours, or of
//! a [proxy](Proxies) before it, is everybody's. So a gateway says in a header from where it was asked, and shows by a MAC under a key
//! of the installation that it is one of ours; of that the service behind it reads it.

use std::net::IpAddr;

use hmac::{Hmac, Mac};
use poem::Request;
use poem::http::HeaderValue;
use sha2::Sha256;

use super::Proxies;

/// Says and believes from where requests came. Cheap to clone.
#[derive(Clone, Default)]
pub struct SeenFrom {
    /// Under which gateways of ours say it; none: there are none before us.
    key: Option<Hmac<Sha256>>,
    /// Who else is believed.
    proxies: Proxies,
}

impl std::fmt::Debug for SeenFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SeenFrom(…)")
    }
}

impl SeenFrom {
    /// The header that says it.
    const HEADER: &'static str = "x-inopsio-seen-from";

    /// Of an installation, with a key that belongs to a secret of it, and its proxies.
    pub fn new(secret: Option<&[u8; 32]>, proxies: Proxies) -> Self {
        Self { key: secret.map(Self::derive), proxies }
    }

    fn derive(secret: &[u8; 32]) -> Hmac<Sha256> {
        // A key as long as the block is taken as it is; padding a shorter one with zeros is what HMAC itself does.
        let keyed = |key: &[u8]| {
            let mut block = [0; 64];
            block[..32].copy_from_slice(key);
            Hmac::<Sha256>::new(&block.into())
        };
        keyed(&keyed(secret).chain_update("inopsio seen from 1").finalize().into_bytes())
    }

    /// From which address the client of a request came: as a gateway of ours says, else as a proxy of ours says, else the connection's.
    /// None: it is not known.
    pub fn address(&self, request: &Request) -> Option<IpAddr> {
        let said = request.header(Self::HEADER).and_then(|text| self.read(text));
        said.or_else(|| self.proxies.client(request))
    }

    /// Tells whoever a request is forwarded to from where it came.
    pub fn tell(&self, request: &mut Request) {
        let text = self.address(request).and_then(|address| self.write(address));
        let headers = request.headers_mut();
        headers.remove(Self::HEADER);
        if let Some(text) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(Self::HEADER, text);
        }
    }

    /// The header's text for an address.
    fn write(&self, address: IpAddr) -> Option<String> {
        let mac = self.key.clone()?.chain_update(address.to_string()).finalize().into_bytes();
        Some(format!("{address} {}", hex::encode(mac)))
    }

    /// The address; none: no gateway of ours wrote this.
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
        let of = |secret| SeenFrom::new(Some(&secret), Proxies::default());
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
        assert_eq!(SeenFrom::default().read(&ours.write(IpAddr::from([192, 0, 2, 7])).unwrap()), None);
    }
}
