//! Certificates, which only carry keys in SAML. A certificate is trusted because it is in the provider's metadata; its issuer and validity
//! are ignored (SAML metadata interoperability profile, section 2.6.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use rsa::pkcs1::DecodeRsaPublicKey;
use rsa::traits::PublicKeyParts;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::Fault;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// The minimum size of an RSA key, in bytes.
const SHORTEST: usize = 256;

/// A certificate with a key of a supported kind.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    kind: Kind,
    /// The public key, in the form that `ring` reads.
    key: Vec<u8>,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificate({:?}, {} bytes)", self.kind, self.der.len())
    }
}

/// The kind of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Rsa,
    P256,
    P384,
}

/// The accepted signature algorithms: the name in XML signatures, the kind of key, and the implementation.
const ALGORITHMS: [(&str, Kind, &dyn VerificationAlgorithm); 5] = [
    ("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", Kind::Rsa, &RSA_PKCS1_2048_8192_SHA256),
    ("http://www.w3.org/2001/04/xmldsig-more#rsa-sha384", Kind::Rsa, &RSA_PKCS1_2048_8192_SHA384),
    ("http://www.w3.org/2001/04/xmldsig-more#rsa-sha512", Kind::Rsa, &RSA_PKCS1_2048_8192_SHA512),
    ("http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", Kind::P256, &ECDSA_P256_SHA256_FIXED),
    ("http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384", Kind::P384, &ECDSA_P384_SHA384_FIXED),
];

/// Whether signatures with this algorithm are accepted.
pub(crate) fn is_taken(algorithm: &str) -> bool {
    ALGORITHMS.iter().any(|(name, ..)| *name == algorithm)
}

impl Certificate {
    /// Parses a certificate in DER.
    ///
    /// # Errors
    /// [`Fault::Certificate`] if it is not a certificate, or its key is of another kind or too short.
    pub fn from_der(der: &[u8]) -> Result<Self, Fault> {
        let parsed = x509_cert::Certificate::from_der(der).map_err(|_| Fault::Certificate("it is not X.509 in DER"))?;
        let info = &parsed.tbs_certificate.subject_public_key_info;
        let key = info.subject_public_key.as_bytes().ok_or(Fault::Certificate("its key has no whole bytes"))?;
        let kind = kind(&info.algorithm)?;
        if kind == Kind::Rsa {
            let key = rsa::RsaPublicKey::from_pkcs1_der(key).map_err(|_| Fault::Certificate("its RSA key is none"))?;
            if key.size() < SHORTEST {
                return Err(Fault::Certificate("its RSA key is shorter than 2048 bits"));
            }
        }
        Ok(Self { der: der.to_vec(), kind, key: key.to_vec() })
    }

    /// Parses a certificate in base64, as in XML; white space is ignored.
    ///
    /// # Errors
    /// As [`from_der`](Self::from_der).
    pub fn from_base64(text: &str) -> Result<Self, Fault> {
        let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let der = STANDARD.decode(text).map_err(|_| Fault::Certificate("it is not base64"))?;
        Self::from_der(&der)
    }

    /// The certificate in base64, on one line.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.der)
    }

    /// Whether this is a signature of the message by the certificate's key, with this algorithm.
    pub(crate) fn verifies(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        let fitting = ALGORITHMS.iter().find(|(name, kind, _)| *name == algorithm && *kind == self.kind);
        fitting.is_some_and(|(.., verifies)| {
            UnparsedPublicKey::new(*verifies, &self.key).verify(message, signature).is_ok()
        })
    }
}

fn kind(algorithm: &AlgorithmIdentifierOwned) -> Result<Kind, Fault> {
    let curve = || {
        let der = algorithm.parameters.as_ref().and_then(|parameters| parameters.to_der().ok());
        der.and_then(|der| ObjectIdentifier::from_der(&der).ok())
    };
    match algorithm.oid {
        RSA => Ok(Kind::Rsa),
        EC if curve() == Some(P256) => Ok(Kind::P256),
        EC if curve() == Some(P384) => Ok(Kind::P384),
        _ => Err(Fault::Certificate("its key is none of RSA, P-256 and P-384")),
    }
}
