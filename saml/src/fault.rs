//! Why something is not believed, or can't be used.

/// Why something is not believed, or can't be used. None of them repeats what a stranger sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is too long to be looked at.
    #[error("it is longer than the {most} bytes that are taken")]
    TooLong {
        /// The most bytes.
        most: usize,
    },
    /// It is no text of the kind.
    #[error("it is not base64 of an XML document")]
    NotBase64,
    /// It is no XML, or XML that nobody needs here.
    #[error("it is not XML as it is taken here: well-formed, UTF-8, without a document type declaration, not too deep")]
    NotXml,
    /// Two elements of one id: whoever checks could look at one, and whoever reads at the other.
    #[error("two elements have the same id")]
    DuplicateId,
    /// An element is missing, is there twice, or is where it does not belong.
    #[error("it is not built as it has to be: {0}")]
    Structure(&'static str),
    /// There is nothing to check a signature with.
    #[error("no certificate of the identity provider is configured")]
    NoCertificate,
    /// Nothing, or not all that is read, is signed.
    #[error("it is not signed, or not all of it")]
    NotSigned,
    /// It is signed in a way that is not taken.
    #[error("it is signed in a way that is not taken here: {0}")]
    Algorithm(&'static str),
    /// It is encrypted in a way that is not taken.
    #[error("it is encrypted in a way that is not taken here: {0}")]
    Cipher(&'static str),
    /// It was not encrypted for us, or what is inside is not what it has to be: which of them is nothing to tell.
    #[error(
        "what is encrypted can't be opened, or is not what it has to be: it is for another key, not signed, or something was changed"
    )]
    Encryption,
    /// The signature does not fit.
    #[error("the signature does not fit: it is by another key, or something was changed")]
    Signature,
    /// The provider says that it did not sign anybody in.
    #[error("the identity provider did not sign anybody in")]
    Status,
    /// It is of somebody else.
    #[error("it is not of the identity provider of this connection")]
    Issuer,
    /// It is sent to somebody else.
    #[error("it is for another address than the one that it was sent to")]
    Destination,
    /// It is for somebody else.
    #[error("it is for another audience")]
    Audience,
    /// Its bearer may show it to somebody else.
    #[error("it may be shown at another address, or by another method")]
    Recipient,
    /// It answers what we did not ask.
    #[error("it answers no request of ours")]
    Request,
    /// Nobody asked.
    #[error("nobody asked for it, and this connection takes no assertions that nobody asked for")]
    Unsolicited,
    /// It is not good any more, or not yet.
    #[error("it is not good any more, or not yet; the clocks may differ")]
    Time,
    /// It is not said who it is about.
    #[error("it does not say whom it is about")]
    Subject,
    /// Metadata can't be used.
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
    /// It in a word, for records.
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
