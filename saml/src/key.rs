//! Our keys: for signing requests, and for decrypting assertions. RSA, because identity providers in use verify signed redirects with
//! nothing else (ADR 27).

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use keys::{OaepHash, OaepKey, RsaKey};
use x509_cert::der::asn1::{Any, BitString, Null, ObjectIdentifier, UtcTime};
use x509_cert::der::{Encode, Error};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};
use x509_cert::{TbsCertificate, Version};
use zeroize::Zeroizing;

use crate::{Certificate, Fault};

const SIGNED_WITH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// The validity of our certificates. It is long, because the certificate only carries the key; a provider that is given another certificate
/// uses that one.
const GOOD_FOR: Duration = Duration::from_hours(24 * 3_652);

/// A key that signs our messages.
#[derive(Debug)]
pub struct SigningKey(RsaKey);

/// A key with which identity providers encrypt for us. It is only used to decrypt.
#[derive(Debug)]
pub struct DecryptionKey(OaepKey);

impl DecryptionKey {
    /// Reads a key in PKCS #8, DER, as [`SigningKey::generate`] creates it.
    ///
    /// # Errors
    /// [`Fault::Key`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, Fault> {
        OaepKey::from_pkcs8(der).map(Self).map_err(|_| Fault::Key)
    }

    pub(crate) fn open(&self, hash: OaepHash, mask: OaepHash, encrypted: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        self.0.open(hash, mask, encrypted).map_err(|_| Fault::Encryption)
    }
}

/// A generated key.
pub struct GeneratedKey {
    /// The private key in PKCS #8, DER. Has to be stored encrypted.
    pub private: Zeroizing<Vec<u8>>,
    /// The public key, in a certificate.
    pub certificate: Certificate,
}

impl SigningKey {
    /// Generates a key and its self-signed certificate. Takes a good part of a second.
    ///
    /// # Errors
    /// [`Fault::Key`], if the system gives no randomness.
    pub fn generate(name: &str, at: DateTime<Utc>) -> Result<GeneratedKey, Fault> {
        let private = RsaKey::generate().map_err(|_| Fault::Key)?;
        let key = Self::from_pkcs8(&private)?;
        let certificate = key.certificate(name, at)?;
        Ok(GeneratedKey { private, certificate })
    }

    /// Reads a key in PKCS #8, DER.
    ///
    /// # Errors
    /// [`Fault::Key`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, Fault> {
        RsaKey::from_pkcs8(der).map(Self).map_err(|_| Fault::Key)
    }

    /// Signs with RSA (PKCS #1 v1.5) and SHA-256.
    ///
    /// # Errors
    /// [`Fault::Key`], if the system gives no randomness.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        self.0.sign(message).map_err(|_| Fault::Key)
    }

    fn certificate(&self, name: &str, at: DateTime<Utc>) -> Result<Certificate, Fault> {
        let tbs = self.unsigned(name, at).map_err(|_| Fault::Key)?;
        let signature = self.sign(&tbs.to_der().map_err(|_| Fault::Key)?)?;
        let certificate = x509_cert::Certificate {
            signature_algorithm: tbs.signature.clone(),
            tbs_certificate: tbs,
            signature: BitString::from_bytes(&signature).map_err(|_| Fault::Key)?,
        };
        Certificate::from_der(&certificate.to_der().map_err(|_| Fault::Key)?)
    }

    fn unsigned(&self, name: &str, at: DateTime<Utc>) -> Result<TbsCertificate, Error> {
        let algorithm = |oid| -> Result<_, Error> {
            Ok(AlgorithmIdentifierOwned { oid, parameters: Some(Any::encode_from(&Null)?) })
        };
        let name = Name::from_str(&format!("CN={name}"))?;
        // The serial number has to be positive and unique, so it is taken from the beginning of the modulus.
        let public = self.0.public_der();
        let serial: Vec<u8> = public.iter().skip(16).take(15).copied().collect();
        let serial = SerialNumber::new(&[&[1], serial.as_slice()].concat())?;
        let begins = Duration::from_secs(at.timestamp().max(0).cast_unsigned());
        let time = |since| UtcTime::from_unix_duration(since).map(Time::from);
        Ok(TbsCertificate {
            version: Version::V3,
            serial_number: serial,
            signature: algorithm(SIGNED_WITH)?,
            issuer: name.clone(),
            validity: Validity { not_before: time(begins)?, not_after: time(begins + GOOD_FOR)? },
            subject: name,
            subject_public_key_info: SubjectPublicKeyInfoOwned {
                algorithm: algorithm(RSA)?,
                subject_public_key: BitString::from_bytes(public)?,
            },
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: None,
        })
    }
}
