//! From where a request came to the gateway that forwards it. The limits of attempts count by network; a gateway's own address is
//! everybody's. So the gateway says it in a header, and shows by a MAC under a key of the installation that it is one of ours.

use std::net::IpAddr;

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Says and believes from where requests came.
#[derive(Clone)]
pub struct SeenFrom(Hmac<Sha256>);

impl std::fmt::Debug for SeenFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SeenFrom(…)")
    }
}

impl SeenFrom {
    /// The header that says it.
    pub const HEADER: &'static str = "x-inopsio-seen-from";

    /// Under a key that belongs to a secret of the installation.
    pub fn derive(secret: &[u8; 32]) -> Self {
        // A key as long as the block is taken as it is; padding a shorter one with zeros is what HMAC itself does.
        let keyed = |key: &[u8]| {
            let mut block = [0; 64];
            block[..32].copy_from_slice(key);
            Hmac::<Sha256>::new(&block.into())
        };
        Self(keyed(&keyed(secret).chain_update("inopsio seen from 1").finalize().into_bytes()))
    }

    /// The header's text for an address.
    pub fn write(&self, address: IpAddr) -> String {
        format!("{address} {}", hex::encode(self.0.clone().chain_update(address.to_string()).finalize().into_bytes()))
    }

    /// The address; none: no gateway of ours wrote this.
    pub fn read(&self, text: &str) -> Option<IpAddr> {
        let (address, mac) = text.split_once(' ')?;
        self.0.clone().chain_update(address).verify_slice(&hex::decode(mac).ok()?).ok()?;
        address.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_believed_from_who_has_the_key_only() {
        let (ours, other) = (SeenFrom::derive(&[7; 32]), SeenFrom::derive(&[8; 32]));
        for address in ["192.0.2.7", "2001:db8::1"] {
            let address: IpAddr = address.parse().unwrap();
            let text = ours.write(address);
            assert_eq!((ours.read(&text), other.read(&text)), (Some(address), None));
            assert_eq!(ours.read(&text.replace('2', "3")), None);
        }
        for nonsense in ["", "192.0.2.7", "192.0.2.7 ", "192.0.2.7 00"] {
            assert_eq!(ours.read(nonsense), None, "{nonsense}");
        }
    }
}
