//! The installation's public key as a JSON Web Key (RFC 7517, RFC 8037).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::prelude::Ed25519PublicKey;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The set of the keys that verify our tokens.
pub fn key_set(key: &Ed25519PublicKey) -> Value {
    let x = coordinate(key);
    json!({ "keys": [{
        "kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig", "alg": "EdDSA", "kid": thumbprint(&x),
    }] })
}

/// The key's id in tokens and in the set: its thumbprint (RFC 7638).
pub fn key_id(key: &Ed25519PublicKey) -> String {
    thumbprint(&coordinate(key))
}

fn coordinate(key: &Ed25519PublicKey) -> String {
    URL_SAFE_NO_PAD.encode(key.to_bytes())
}

/// The hash of the members that RFC 7638 requires, in its order and without spaces.
fn thumbprint(x: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_the_specification() {
        // RFC 8037, appendix A.3.
        let thumbprint = thumbprint("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(thumbprint, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
