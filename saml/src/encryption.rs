//! Decrypts encrypted assertions and names, according to SAML and XML Encryption (core, section 6; xmlenc-core1). Only one form is
//! supported: one element, encrypted with AES under a key that is encrypted for us with RSA-OAEP.
//!
//! Encryption does not authenticate the sender, because our encryption key is public. The decrypted content is a document of its own, and
//! nothing of it is trusted before its signature is verified, as for content that was never encrypted. Until then, all errors that depend
//! on the content are the same fault ([`Fault::Encryption`]), so that the decryption is no oracle for attackers with ciphertexts of their
//! own. (An encrypted name is decrypted after the message around it was verified, because that signature covers it.)

use aes::{Aes128, Aes256};
use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes128Gcm, Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyIvInit};
use keys::OaepHash;
use zeroize::Zeroizing;

use crate::names::{ENCRYPTION, ENCRYPTION_11, SIGNATURE};
use crate::xml::Node;
use crate::{DecryptionKey, Fault};

/// The type of encrypted content: an element.
const ELEMENT: &str = "http://www.w3.org/2001/04/xmlenc#Element";

/// The supported algorithms for encrypted keys. (RSA with PKCS #1 v1.5 is not supported, because it can be broken by an attacker who may
/// try often enough.)
const OAEP: &str = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p";
const OAEP_11: &str = "http://www.w3.org/2009/xmlenc11#rsa-oaep";

const HASHES: [(&str, OaepHash); 3] = [
    ("http://www.w3.org/2000/09/xmldsig#sha1", OaepHash::Sha1),
    ("http://www.w3.org/2001/04/xmlenc#sha256", OaepHash::Sha256),
    ("http://www.w3.org/2001/04/xmlenc#sha512", OaepHash::Sha512),
];
const MASKS: [(&str, OaepHash); 3] = [
    ("http://www.w3.org/2009/xmlenc11#mgf1sha1", OaepHash::Sha1),
    ("http://www.w3.org/2009/xmlenc11#mgf1sha256", OaepHash::Sha256),
    ("http://www.w3.org/2009/xmlenc11#mgf1sha512", OaepHash::Sha512),
];

/// A supported cipher.
#[derive(Clone, Copy)]
enum Cipher {
    Aes128Gcm,
    Aes256Gcm,
    Aes128Cbc,
    Aes256Cbc,
}

const CIPHERS: [(&str, Cipher); 4] = [
    ("http://www.w3.org/2009/xmlenc11#aes256-gcm", Cipher::Aes256Gcm),
    ("http://www.w3.org/2009/xmlenc11#aes128-gcm", Cipher::Aes128Gcm),
    ("http://www.w3.org/2001/04/xmlenc#aes256-cbc", Cipher::Aes256Cbc),
    ("http://www.w3.org/2001/04/xmlenc#aes128-cbc", Cipher::Aes128Cbc),
];

/// The supported algorithms, best first, for our metadata.
pub(crate) fn taken() -> impl Iterator<Item = &'static str> {
    CIPHERS.iter().map(|(name, _)| *name).chain([OAEP_11, OAEP])
}

/// Decrypts an element. Returns a document that has the element inside a new root, which declares the namespaces that are in scope where
/// the encrypted element is.
///
/// # Errors
/// Why it can't be decrypted. The error reveals nothing about the content.
pub(crate) fn open(encrypted: Node<'_>, key: Option<&DecryptionKey>) -> Result<Zeroizing<String>, Fault> {
    let known = ["EncryptedData", "EncryptedKey"];
    if !encrypted.elements().all(|child| known.iter().any(|name| child.is(ENCRYPTION, name))) {
        return Err(Fault::Structure("an encrypted element holds what it should not"));
    }
    let data = encrypted.only(ENCRYPTION, "EncryptedData")?;
    if data.attribute("Type").is_some_and(|kind| kind != ELEMENT) {
        return Err(Fault::Structure("what is encrypted is no element"));
    }
    let cipher = cipher(data.only(ENCRYPTION, "EncryptionMethod")?)?;
    // The encrypted key is inside the encrypted data or beside it (core, section 6).
    let within = data.perhaps(SIGNATURE, "KeyInfo")?.into_iter().flat_map(|info| info.each(ENCRYPTION, "EncryptedKey"));
    let mut keys = within.chain(encrypted.each(ENCRYPTION, "EncryptedKey"));
    let (Some(wrapped), None) = (keys.next(), keys.next()) else {
        return Err(Fault::Structure("an encrypted element has to have one encrypted key"));
    };
    let (hash, mask) = transport(wrapped.only(ENCRYPTION, "EncryptionMethod")?)?;
    let (wrapped, data) = (value(wrapped)?, value(data)?);
    // From here on, errors depend on secrets.
    let key = key.ok_or(Fault::Encryption)?;
    let content_key = key.open(hash, mask, &wrapped)?;
    let opened = cipher.open(&content_key, &data).ok_or(Fault::Encryption)?;
    let text = std::str::from_utf8(&opened).map_err(|_| Fault::Encryption)?;
    let mut document = Zeroizing::new(String::with_capacity(text.len() + 1_024));
    document.push_str("<opened");
    for (prefix, name) in encrypted.namespaces() {
        document.push_str(if prefix.is_empty() { " xmlns" } else { " xmlns:" });
        document.push_str(prefix);
        document.push_str("=\"");
        document.push_str(&name.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;"));
        document.push('"');
    }
    document.push('>');
    document.push_str(text);
    document.push_str("</opened>");
    Ok(document)
}

fn cipher(method: Node<'_>) -> Result<Cipher, Fault> {
    let named = method.attribute("Algorithm").ok_or(Fault::Structure("an Algorithm is missing"))?;
    if method.elements().next().is_some() {
        return Err(Fault::Cipher("an algorithm has parameters that it should not have"));
    }
    let found = CIPHERS.iter().find(|(name, _)| *name == named);
    let refused = Fault::Cipher("it has to be encrypted with AES (128 or 256 bits), GCM or CBC");
    found.map(|(_, cipher)| *cipher).ok_or(refused)
}

/// The hash functions of OAEP: for the message and for the mask.
fn transport(method: Node<'_>) -> Result<(OaepHash, OaepHash), Fault> {
    let named = method.attribute("Algorithm").ok_or(Fault::Structure("an Algorithm is missing"))?;
    if named != OAEP && named != OAEP_11 {
        return Err(Fault::Cipher("its key has to be encrypted with RSA-OAEP"));
    }
    let is_known = |child: Node<'_>| child.is(SIGNATURE, "DigestMethod") || child.is(ENCRYPTION_11, "MGF");
    if !method.elements().all(is_known) {
        return Err(Fault::Cipher("RSA-OAEP has parameters that it should not have"));
    }
    let of = |parameter: Option<Node<'_>>, table: &[(&str, OaepHash)]| {
        let Some(parameter) = parameter else { return Ok(OaepHash::Sha1) };
        let found = table.iter().find(|(name, _)| parameter.attribute("Algorithm") == Some(*name));
        found.map(|(_, hash)| *hash).ok_or(Fault::Cipher("RSA-OAEP has to be with SHA-1, SHA-256 or SHA-512"))
    };
    let hash = of(method.perhaps(SIGNATURE, "DigestMethod")?, &HASHES)?;
    let mask = of(method.perhaps(ENCRYPTION_11, "MGF")?, &MASKS)?;
    if named == OAEP && mask != OaepHash::Sha1 {
        return Err(Fault::Cipher("RSA-OAEP has a mask that is not of its name"));
    }
    Ok((hash, mask))
}

fn value(encrypted: Node<'_>) -> Result<Vec<u8>, Fault> {
    let text = encrypted.only(ENCRYPTION, "CipherData")?.only(ENCRYPTION, "CipherValue")?.text()?;
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(text).map_err(|_| Fault::Structure("a CipherValue is not base64"))
}

impl Cipher {
    /// Decrypts; `None` if the key or the data is invalid.
    fn open(self, key: &[u8], data: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Self::Aes128Gcm => authenticated(&Aes128Gcm::new_from_slice(key).ok()?, data),
            Self::Aes256Gcm => authenticated(&Aes256Gcm::new_from_slice(key).ok()?, data),
            Self::Aes128Cbc => chained::<Aes128>(key, data),
            Self::Aes256Cbc => chained::<Aes256>(key, data),
        }
    }
}

/// The data is a nonce, the ciphertext, and the authentication tag.
fn authenticated(cipher: &impl GcmOpen, data: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, text) = data.split_first_chunk::<12>()?;
    cipher.open(*nonce, text).map(Zeroizing::new)
}

/// Decryption with AES-GCM, for both key lengths.
trait GcmOpen {
    fn open(&self, nonce: [u8; 12], text: &[u8]) -> Option<Vec<u8>>;
}

impl GcmOpen for Aes128Gcm {
    fn open(&self, nonce: [u8; 12], text: &[u8]) -> Option<Vec<u8>> {
        self.decrypt(&Nonce::from(nonce), text).ok()
    }
}

impl GcmOpen for Aes256Gcm {
    fn open(&self, nonce: [u8; 12], text: &[u8]) -> Option<Vec<u8>> {
        self.decrypt(&Nonce::from(nonce), text).ok()
    }
}

/// The first block is the initialization vector, and the last byte is the length of the padding (xmlenc-core1, section 5.2.3). CBC does not
/// detect changes; the signature inside does.
fn chained<C>(key: &[u8], data: &[u8]) -> Option<Zeroizing<Vec<u8>>>
where
    C: cbc::cipher::BlockSizeUser<BlockSize = aes::cipher::consts::U16> + BlockCipherDecrypt + cbc::cipher::KeyInit,
{
    let (vector, text) = data.split_at_checked(16)?;
    let mut chain = cbc::Decryptor::<C>::new_from_slices(key, vector).ok()?;
    let mut text = Zeroizing::new(text.to_vec());
    let (blocks, []) = aes::Block::slice_as_chunks_mut(&mut text) else { return None };
    chain.decrypt_blocks(blocks);
    let padding = usize::from(*text.last()?);
    if !(1..=16).contains(&padding) {
        return None;
    }
    let length = text.len() - padding;
    text.truncate(length);
    Some(text)
}
