//! Encryption by an identity provider, honest or malicious: it uses the key in our metadata, and shares no code with our decryption.

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes128Gcm, Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::{BlockModeEncrypt, KeyIvInit};
use rsa::pkcs1::DecodeRsaPublicKey;
use rsa::rand_core::OsRng;
use rsa::{Oaep, Pkcs1v15Encrypt, RsaPublicKey};
use sha1::Sha1;
use sha2::Sha256;
use x509_cert::der::Decode;

use crate::idp::Sp;
use crate::world::World;

const ENC: &str = "http://www.w3.org/2001/04/xmlenc#";
const ENC_11: &str = "http://www.w3.org/2009/xmlenc11#";
const DS: &str = "http://www.w3.org/2000/09/xmldsig#";

/// How something is encrypted.
#[derive(Clone)]
pub struct Encryption {
    /// The cipher, such as `aes256-gcm`.
    pub cipher: &'static str,
    /// The key transport: `rsa-oaep-mgf1p`, `rsa-oaep` (with SHA-256 throughout) or `rsa-1_5`.
    pub transport: &'static str,
    /// Whether the `EncryptedKey` is beside the `EncryptedData` instead of inside it.
    pub beside: bool,
}

impl Default for Encryption {
    fn default() -> Self {
        Self { cipher: "aes256-gcm", transport: "rsa-oaep-mgf1p", beside: false }
    }
}

/// The public key for encryption in our metadata.
pub async fn key_of(world: &World, sp: &Sp) -> RsaPublicKey {
    let metadata = world.http.get(&sp.entity_id).send().await.unwrap().text().await.unwrap();
    let after = metadata.split_once("use=\"encryption\"").unwrap().1;
    let certificate = after.split_once("<ds:X509Certificate>").unwrap().1.split_once('<').unwrap().0;
    let certificate = x509_cert::Certificate::from_der(&STANDARD.decode(certificate).unwrap()).unwrap();
    let info = certificate.tbs_certificate.subject_public_key_info;
    RsaPublicKey::from_pkcs1_der(info.subject_public_key.as_bytes().unwrap()).unwrap()
}

impl Encryption {
    /// An element `EncryptedAssertion` that contains this text, encrypted.
    pub fn of(&self, key: &RsaPublicKey, text: &str) -> String {
        self.of_bytes(key, &self.encrypts(text.as_bytes()))
    }

    /// An element with this ciphertext, which may have been tampered with.
    pub fn of_bytes(&self, key: &RsaPublicKey, data: &[u8]) -> String {
        let (wrapped, method) = self.wraps(key);
        self.element(&wrapped, &method, data)
    }

    /// An element with this wrapped key, which may have been tampered with, and this ciphertext.
    pub fn element(&self, wrapped: &[u8], method: &str, data: &[u8]) -> String {
        let value = |bytes: &[u8]| {
            let text = STANDARD.encode(bytes);
            format!("<xenc:CipherData><xenc:CipherValue>{text}</xenc:CipherValue></xenc:CipherData>")
        };
        // In canonical form, so that the elements around it can be signed as they are: each prefix is declared where it is first used.
        let space = if self.beside { format!(" xmlns:xenc=\"{ENC}\"") } else { String::new() };
        let key = format!("<xenc:EncryptedKey{space}>{method}{}</xenc:EncryptedKey>", value(wrapped));
        let space = if self.cipher.ends_with("gcm") { ENC_11 } else { ENC };
        let (within, beside) = if self.beside { (String::new(), key) } else { (key, String::new()) };
        format!(
            "<saml:EncryptedAssertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"><xenc:EncryptedData \
             xmlns:xenc=\"{ENC}\" Type=\"{ENC}Element\"><xenc:EncryptionMethod Algorithm=\"{space}{}\"></xenc:EncryptionMethod><ds:KeyInfo \
             xmlns:ds=\"{DS}\">{within}</ds:KeyInfo>{}</xenc:EncryptedData>{beside}</saml:EncryptedAssertion>",
            self.cipher,
            value(data),
        )
    }

    /// The ciphertext, under a key that is always the same.
    pub fn encrypts(&self, text: &[u8]) -> Vec<u8> {
        let nonce = [3; 12];
        match self.cipher {
            "aes256-gcm" => {
                let cipher = Aes256Gcm::new_from_slice(&self.key()).unwrap();
                [&nonce[..], &cipher.encrypt(&Nonce::from(nonce), text).unwrap()].concat()
            }
            "aes128-gcm" => {
                let cipher = Aes128Gcm::new_from_slice(&self.key()).unwrap();
                [&nonce[..], &cipher.encrypt(&Nonce::from(nonce), text).unwrap()].concat()
            }
            "aes256-cbc" => Self::chains(text, |vector| {
                cbc::Encryptor::<aes::Aes256>::new_from_slices(&self.key(), vector).unwrap()
            }),
            _ => Self::chains(text, |vector| {
                cbc::Encryptor::<aes::Aes128>::new_from_slices(&self.key(), vector).unwrap()
            }),
        }
    }

    fn chains<C>(text: &[u8], cipher: impl FnOnce(&[u8]) -> C) -> Vec<u8>
    where
        C: BlockModeEncrypt<BlockSize = aes::cipher::consts::U16>,
    {
        let vector = [5; 16];
        let padding = 16 - text.len() % 16;
        // Only the last byte of the padding is significant; the others are arbitrary.
        let mut text = [text, &vec![0x41; padding - 1], &[padding as u8]].concat();
        let (blocks, rest) = aes::Block::slice_as_chunks_mut(&mut text);
        assert!(rest.is_empty());
        cipher(&vector).encrypt_blocks(blocks);
        [&vector[..], &text].concat()
    }

    fn key(&self) -> Vec<u8> {
        vec![7; if self.cipher.starts_with("aes128") { 16 } else { 32 }]
    }

    /// The wrapped key, and the element that names its algorithm.
    pub fn wraps(&self, key: &RsaPublicKey) -> (Vec<u8>, String) {
        let ds = if self.beside { format!(" xmlns:ds=\"{DS}\"") } else { String::new() };
        let digests =
            |hash: &str, mask: &str| format!("<ds:DigestMethod{ds} Algorithm=\"{hash}\"></ds:DigestMethod>{mask}");
        let (space, wrapped, parameters) = match self.transport {
            "rsa-oaep-mgf1p" => {
                (ENC, key.encrypt(&mut OsRng, Oaep::new::<Sha1>(), &self.key()), digests(&format!("{DS}sha1"), ""))
            }
            "rsa-oaep" => {
                let mask =
                    format!("<xenc11:MGF xmlns:xenc11=\"{ENC_11}\" Algorithm=\"{ENC_11}mgf1sha256\"></xenc11:MGF>");
                let wrapped = key.encrypt(&mut OsRng, Oaep::new::<Sha256>(), &self.key());
                (ENC_11, wrapped, digests(&format!("{ENC}sha256"), &mask))
            }
            _ => (ENC, key.encrypt(&mut OsRng, Pkcs1v15Encrypt, &self.key()), String::new()),
        };
        let method = format!(
            "<xenc:EncryptionMethod Algorithm=\"{space}{}\">{parameters}</xenc:EncryptionMethod>",
            self.transport
        );
        (wrapped.unwrap(), method)
    }
}
