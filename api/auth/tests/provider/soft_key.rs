//! A passkey in software, which can also do what no honest one does.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use testbed::Shown;

use crate::world::World;

/// The flags of the authenticator data (Web Authentication, section 6.1).
const PRESENT: u8 = 1;
const VERIFIED: u8 = 1 << 2;
const ATTESTED: u8 = 1 << 6;

/// A passkey, and the browser that it is used with.
#[derive(Clone)]
pub struct SoftKey {
    /// Its private key.
    pub signer: SigningKey,
    /// Its credential id.
    pub id: Vec<u8>,
    /// The user handle.
    pub user: Option<String>,
    /// Its signature counter; none: it does not count.
    pub counter: Option<u32>,
    /// Whether it verifies the user by finger, face or PIN.
    pub verifies: bool,
    /// The origin that the browser reports.
    pub origin: String,
}

/// A form that asks for a passkey: its sealed state, and the options for the browser.
pub struct Asks {
    pub pending: String,
    pub options: Value,
}

impl Asks {
    /// Reads the form of a page.
    pub fn on(page: &Shown) -> Self {
        let (_, form) = page.body.split_once("data-passkey=").unwrap_or_else(|| panic!("no passkey in {page:?}"));
        let options = form.split_once("data-options=\"").unwrap().1.split_once('"').unwrap().0;
        let options = options.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        let pending = form.split_once("name=\"pending\" value=\"").unwrap().1.split_once('"').unwrap().0;
        Self { pending: pending.to_owned(), options: serde_json::from_str(&options).unwrap() }
    }
}

impl SoftKey {
    /// A passkey with its own key, which is derived from `number`.
    pub fn new(world: &World, number: u8) -> Self {
        Self {
            signer: SigningKey::from_slice(&[number; 32]).unwrap(),
            id: vec![number; 16],
            user: None,
            counter: Some(0),
            verifies: true,
            origin: world.url.clone(),
        }
    }

    /// Its credential id as forms and the log contain it.
    pub fn name(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.id)
    }

    /// The answer of `navigator.credentials.create`.
    pub fn made(&mut self, options: &Value) -> String {
        self.user = Some(options["user"]["id"].as_str().unwrap().to_owned());
        let point = self.signer.verifying_key().to_sec1_point(false);
        let mut data = self.data(&options["rp"]["id"], ATTESTED);
        data.extend([0; 16]);
        data.extend(u16::try_from(self.id.len()).unwrap().to_be_bytes());
        data.extend(&self.id);
        // COSE (RFC 9053): {1: 2 (EC2), 3: -7 (ES256), -1: 1 (P-256), -2: x, -3: y}
        data.extend([0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20]);
        data.extend(point.x().unwrap());
        data.extend([0x22, 0x58, 0x20]);
        data.extend(point.y().unwrap());
        // CBOR: {"fmt": "none", "attStmt": {}, "authData": data}
        let mut attestation = vec![0xa3];
        attestation.extend(b"\x63fmt\x64none\x67attStmt\xa0\x68authData\x59");
        attestation.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        attestation.extend(data);
        let response = json!({
            "attestationObject": URL_SAFE_NO_PAD.encode(attestation),
            "clientDataJSON": URL_SAFE_NO_PAD.encode(self.client_data("webauthn.create", options)),
        });
        json!({ "id": self.name(), "rawId": self.name(), "type": "public-key", "response": response }).to_string()
    }

    /// The answer of `navigator.credentials.get`.
    pub fn shown(&mut self, options: &Value) -> String {
        self.counter = self.counter.map(|counter| counter + 1);
        let data = self.data(&options["rpId"], 0);
        let client = self.client_data("webauthn.get", options);
        let signature: Signature = self.signer.sign(&[&data[..], &Sha256::digest(&client)].concat());
        let response = json!({
            "authenticatorData": URL_SAFE_NO_PAD.encode(data),
            "clientDataJSON": URL_SAFE_NO_PAD.encode(client),
            "signature": URL_SAFE_NO_PAD.encode(signature.to_der()),
            "userHandle": self.user,
        });
        json!({ "id": self.name(), "rawId": self.name(), "type": "public-key", "response": response }).to_string()
    }

    fn data(&self, host: &Value, flags: u8) -> Vec<u8> {
        let verified = if self.verifies { VERIFIED } else { 0 };
        let mut data = Sha256::digest(host.as_str().unwrap()).to_vec();
        data.push(PRESENT | verified | flags);
        data.extend(self.counter.unwrap_or_default().to_be_bytes());
        data
    }

    fn client_data(&self, kind: &str, options: &Value) -> String {
        let challenge = &options["challenge"];
        json!({ "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false }).to_string()
    }
}
