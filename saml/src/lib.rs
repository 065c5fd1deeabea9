//! SAML 2.0 for a service provider (Web Browser SSO): our metadata and requests, and the decision whether to accept an answer.
//!
//! ```text
//! IdP's metadata ─▶ IdentityProvider (whom we trust, and with which certificates)
//! AuthnRequest   ◀─ request (deflated, signed, in a redirect)
//! Logout…        ◀▶ logout, delivery (in a redirect, or signed as XML in a form)
//! Response       ─▶ xml (limits, no DTD, unique ids) ─▶ encryption (decrypted, if it is) ─▶ signature (of the very element that is read)
//!                 ─▶ response (for us, now, by them)
//! ```
//!
//! A caller works with a [`ServiceProvider`]; [`WebSso`] is our implementation. Nothing here does I/O, reads a clock or keeps state:
//! the time comes in, and the caller must make sure that an assertion is used only once ([`Asserted::id`]).
//!
//! The accepted subset is small on purpose: one assertion, signed (or in a signed response), by an algorithm of [`signature`]'s table,
//! with a certificate from the provider's own metadata. All other features of XML signatures and XML encryption are refused, not ignored.
//! To accept something more: add a step in [`response`], and its attack in
//! `api/auth/tests/provider/saml_attacks.rs`, or in `saml_encryption_attacks.rs` beside it. See `docs/src/saml.md`.

#![deny(missing_docs)]

mod certificate;
mod delivery;
mod encryption;
mod fault;
mod key;
mod logout;
mod metadata;
mod names;
mod request;
mod response;
mod signature;
mod subject;
mod xml;

use chrono::{DateTime, TimeDelta, Utc};

pub use certificate::Certificate;
pub use delivery::{Delivery, PostForm};
pub use fault::Fault;
pub use key::{DecryptionKey, GeneratedKey, SigningKey};
pub use logout::{LogoutAnswer, LogoutContext, LogoutMessage, LogoutRequest, PostedLogout};
pub use metadata::{IdentityProvider, MOST_METADATA};
pub use response::Asserted;
pub use subject::NameId;

/// Our identity as a service provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// Our entity id: the audience of assertions.
    pub entity_id: String,
    /// The URL to which assertions are sent (assertion consumer service).
    pub acs: String,
    /// The URL to which providers send logout requests, and answers to ours (single logout service).
    pub slo: String,
}

/// What an assertion is checked against.
pub struct Expected<'e> {
    /// Our identity.
    pub own: &'e Own,
    /// The provider that must have issued it.
    pub provider: &'e IdentityProvider,
    /// The key for encrypted assertions; `None` if we published no encryption key.
    pub key: Option<&'e DecryptionKey>,
    /// Whether a request with this id is ours and recent.
    pub asked: &'e (dyn Fn(&str) -> bool + Sync),
    /// Whether assertions that we did not request are accepted.
    pub unsolicited: bool,
    /// The current time.
    pub now: DateTime<Utc>,
    /// The tolerated difference of clocks.
    pub skew: TimeDelta,
}

/// The public keys in our metadata.
#[derive(Clone, Copy, Debug)]
pub struct PublicKeys<'a> {
    /// The key with which our requests are verified.
    pub signing: &'a Certificate,
    /// The key for which assertions are encrypted.
    pub encryption: &'a Certificate,
}

/// A request to sign a person in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInRequest<'a> {
    /// The request's id, to which the answer refers. It begins with a letter or `_`.
    pub id: &'a str,
    /// When it is made.
    pub at: DateTime<Utc>,
    /// Whether the person has to authenticate again (`ForceAuthn`).
    pub fresh: bool,
}

/// A SAML 2.0 service provider.
pub trait ServiceProvider: Send + Sync {
    /// Our metadata, for identity providers.
    ///
    /// # Errors
    /// [`Fault::Key`].
    fn metadata(&self, own: &Own, keys: PublicKeys<'_>) -> Result<String, Fault>;

    /// The URL to which the browser is redirected, so that the provider signs the person in.
    ///
    /// # Errors
    /// [`Fault::Key`] if the request can't be signed.
    fn request(
        &self,
        own: &Own,
        provider: &IdentityProvider,
        sign_in: &SignInRequest<'_>,
        key: &SigningKey,
    ) -> Result<String, Fault>;

    /// Verifies and reads the provider's response: the content of the form field `SAMLResponse`.
    ///
    /// # Errors
    /// Why it is not accepted.
    fn accept(&self, response: &str, expected: &Expected<'_>) -> Result<Asserted, Fault>;

    /// A logout request to the provider, which the browser carries.
    ///
    /// # Errors
    /// [`Fault::Metadata`] if the provider has no address for it, [`Fault::Key`] if it can't be signed.
    fn ask_to_sign_out(
        &self,
        own: &Own,
        provider: &IdentityProvider,
        request: &LogoutRequest<'_>,
        key: &SigningKey,
    ) -> Result<Delivery, Fault>;

    /// The answer to a provider's logout request, which the browser carries.
    ///
    /// # Errors
    /// As [`ask_to_sign_out`](Self::ask_to_sign_out).
    fn answer_sign_out(
        &self,
        own: &Own,
        provider: &IdentityProvider,
        answer: &LogoutAnswer<'_>,
        key: &SigningKey,
    ) -> Result<Delivery, Fault>;

    /// Verifies and reads a logout message of the provider from a query string.
    ///
    /// # Errors
    /// Why it is not accepted.
    fn read_logout(&self, query: &str, context: &LogoutContext<'_>) -> Result<LogoutMessage, Fault>;

    /// Verifies and reads a logout message of the provider from a posted form.
    ///
    /// # Errors
    /// Why it is not accepted.
    fn read_posted_logout(
        &self,
        posted: &PostedLogout<'_>,
        context: &LogoutContext<'_>,
    ) -> Result<LogoutMessage, Fault>;
}

/// The Web Browser SSO profile, with our own strict rules, the canonicalization of `bergshamra-c14n`, and the signatures of `ring`.
#[derive(Clone, Copy, Debug, Default)]
pub struct WebSso;

impl ServiceProvider for WebSso {
    fn metadata(&self, own: &Own, keys: PublicKeys<'_>) -> Result<String, Fault> {
        Ok(metadata::of_ours(own, keys))
    }

    fn request(
        &self,
        own: &Own,
        provider: &IdentityProvider,
        sign_in: &SignInRequest<'_>,
        key: &SigningKey,
    ) -> Result<String, Fault> {
        request::redirect(own, provider, sign_in, key)
    }

    fn accept(&self, response: &str, expected: &Expected<'_>) -> Result<Asserted, Fault> {
        response::accept(response, expected)
    }

    fn ask_to_sign_out(
        &self,
        own: &Own,
        provider: &IdentityProvider,
        request: &LogoutRequest<'_>,
        key: &SigningKey,
    ) -> Result<Delivery, Fault> {
        logout::ask(own, provider, request, key)
    }

    fn answer_sign_out(
        &self,
        own: &Own,
        provider: &IdentityProvider,
        answer: &LogoutAnswer<'_>,
        key: &SigningKey,
    ) -> Result<Delivery, Fault> {
        logout::answer(own, provider, answer, key)
    }

    fn read_logout(&self, query: &str, context: &LogoutContext<'_>) -> Result<LogoutMessage, Fault> {
        logout::read_redirect(query, context)
    }

    fn read_posted_logout(
        &self,
        posted: &PostedLogout<'_>,
        context: &LogoutContext<'_>,
    ) -> Result<LogoutMessage, Fault> {
        logout::read_posted(posted, context)
    }
}
