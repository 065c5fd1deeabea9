//! Why a message is not accepted, or a setting can't be used.

/// Why a message is not accepted, or a setting can't be used. No fault repeats what an unauthenticated sender sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The message is too long to be parsed.
    #[error("it is longer than the {most} bytes that are taken")]
    TooLong {
        /// The maximum number of bytes.
        most: usize,
    },
    /// The message is not base64 of text.
    #[error("it is not base64 of an XML document")]
    NotBase64,
    /// The message is not XML, or uses features that are not supported here.
    #[error("it is not XML as it is taken here: well-formed, UTF-8, without a document type declaration, not too deep")]
    NotXml,
    /// Two elements have the same id, so the signature could be checked on one, and the content read from the other.
    #[error("two elements have the same id")]
    DuplicateId,
    /// An element is missing, exists twice, or is where it is not allowed.
    #[error("it is not built as it has to be: {0}")]
    Structure(&'static str),
    /// There is no certificate to verify signatures with.
    #[error("no certificate of the identity provider is configured")]
    NoCertificate,
    /// The message is not signed, or the signature does not cover all that is read.
    #[error("it is not signed, or not all of it")]
    NotSigned,
    /// The signature algorithm is not supported.
    #[error("it is signed in a way that is not taken here: {0}")]
    Algorithm(&'static str),
    /// The encryption algorithm is not supported.
    #[error("it is encrypted in a way that is not taken here: {0}")]
    Cipher(&'static str),
    /// The content can't be decrypted, or is invalid. Deliberately not told apart.
    #[error(
        "what is encrypted can't be opened, or is not what it has to be: it is for another key, not signed, or something was changed"
    )]
    Encryption,
    /// The signature is invalid.
    #[error("the signature does not fit: it is by another key, or something was changed")]
    Signature,
    /// The provider reports that nobody was signed in.
    #[error("the identity provider did not sign anybody in")]
    Status,
    /// The message is from another issuer.
    #[error("it is not of the identity provider of this connection")]
    Issuer,
    /// The message was sent to another address.
    #[error("it is for another address than the one that it was sent to")]
    Destination,
    /// The assertion is for another audience.
    #[error("it is for another audience")]
    Audience,
    /// The assertion is for another recipient, or has another confirmation method than bearer.
    #[error("it may be shown at another address, or by another method")]
    Recipient,
    /// The message answers a request that is not ours.
    #[error("it answers no request of ours")]
    Request,
    /// The assertion was not requested.
    #[error("nobody asked for it, and this connection takes no assertions that nobody asked for")]
    Unsolicited,
    /// The message is expired, or not valid yet.
    #[error("it is not good any more, or not yet; the clocks may differ")]
    Time,
    /// The subject is empty.
    #[error("it does not say whom it is about")]
    Subject,
    /// The metadata can't be used.
    #[error("the metadata can't be used: {0}")]
    Metadata(&'static str),
    /// A certificate can't be used.
    #[error("a certificate can't be used: {0}")]
    Certificate(&'static str),
    /// Our own key can't be used.
    #[error("our own key can't be used")]
    Key,
}

impl Fault {
    /// The fault's code, for records.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "saml_too_long",
            Self::NotBase64 => "saml_not_base64",
            Self::NotXml => "saml_not_xml",
            Self::DuplicateId => "saml_duplicate_id",
            Self::Structure(_) => "saml_structure",
            Self::NoCertificate => "saml_no_certificate",
            Self::NotSigned => "saml_not_signed",
            Self::Algorithm(_) => "saml_algorithm",
            Self::Cipher(_) => "saml_cipher",
            Self::Encryption => "saml_encryption",
            Self::Signature => "saml_signature",
            Self::Status => "saml_status",
            Self::Issuer => "saml_issuer",
            Self::Destination => "saml_destination",
            Self::Audience => "saml_audience",
            Self::Recipient => "saml_recipient",
            Self::Request => "saml_request",
            Self::Unsolicited => "saml_unsolicited",
            Self::Time => "saml_time",
            Self::Subject => "saml_subject",
            Self::Metadata(_) => "saml_metadata",
            Self::Certificate(_) => "saml_certificate",
            Self::Key => "saml_key",
        }
    }
}
