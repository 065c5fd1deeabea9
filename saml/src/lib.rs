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
pub use logout::{Answering, Leaving, LogoutContext, LogoutMessage, Posted};
pub use metadata::IdentityProvider;
pub use response::Asserted;
pub use subject::NameId;

/// Who we are towards an identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// Our entity id: for whom assertions are.
    pub entity_id: String,
    /// Where assertions are sent (the assertion consumer service).
    pub acs: String,
    /// Where a provider asks to sign somebody out, and answers us (single logout).
    pub slo: String,
}

/// What an assertion has to fit.
pub struct Expected<'e> {
    /// For whom it is.
    pub own: &'e Own,
    /// Who says it.
    pub provider: &'e IdentityProvider,
    /// What opens what is encrypted for us; none: nobody was shown for what to encrypt.
    pub key: Option<&'e DecryptionKey>,
    /// Whether a request with this id is ours, and recent.
    pub asked: &'e (dyn Fn(&str) -> bool + Sync),
    /// Whether one is taken for which nobody asked.
    pub unsolicited: bool,
    /// The time.
    pub now: DateTime<Utc>,
    /// How much clocks may differ.
    pub skew: TimeDelta,
}

/// What our metadata shows of our keys.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// By which our requests are verified.
    pub signing: &'a Certificate,
    /// For which assertions are encrypted.
    pub encryption: &'a Certificate,
}

/// A request to sign somebody in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking<'a> {
    /// Its id: what the answer refers to. It begins with a letter or `_`.
    pub id: &'a str,
    /// When it is made.
    pub at: DateTime<Utc>,
    /// Whether they shall show anew who they are.
    pub fresh: bool,
}

/// A service provider of SAML 2.0.
pub trait ServiceProvider: Send + Sync {
    /// What an identity provider is told about us: our metadata.
    ///
    /// # Errors
    /// [`Fault::Key`].
    fn metadata(&self, own: &Own, shown: Shown<'_>) -> Result<String, Fault>;

    /// Where a browser is sent so that the provider signs somebody in.
    ///
    /// # Errors
    /// [`Fault::Key`] when it can't be signed.
    fn request(
        &self,
        own: &Own,
        provider: &IdentityProvider,
        asking: &Asking<'_>,
        key: &SigningKey,
    ) -> Result<String, Fault>;

    /// What the provider says of whom it signed in: the content of the form field `SAMLResponse`.
    ///
    /// # Errors
    /// Why it is not believed.
    fn accept(&self, response: &str, expected: &Expected<'_>) -> Result<Asserted, Fault>;

    /// What a browser brings the provider so that it signs somebody out, too.
    ///
    /// # Errors
    /// [`Fault::Metadata`] when it has no address for that, [`Fault::Key`] when it can't be signed.
    fn ask_to_sign_out(
        &self,
        own: &Own,
        provider: &IdentityProvider,
        leaving: &Leaving<'_>,
        key: &SigningKey,
    ) -> Result<Delivery, Fault>;

    /// What a browser brings a provider that asked, so that it knows whether somebody is signed out.
    ///
    /// # Errors
    /// As [`ask_to_sign_out`](Self::ask_to_sign_out).
    fn answer_sign_out(
        &self,
        own: &Own,
        provider: &IdentityProvider,
        answering: &Answering<'_>,
        key: &SigningKey,
    ) -> Result<Delivery, Fault>;

    /// What the provider asks, or answers, about signing out: the query string with which a browser came.
    ///
    /// # Errors
    /// Why it is not believed.
    fn hear(&self, query: &str, context: &LogoutContext<'_>) -> Result<LogoutMessage, Fault>;

    /// The same of what a browser brought in a form.
    ///
    /// # Errors
    /// Why it is not believed.
    fn hear_posted(&self, posted: &Posted<'_>, context: &LogoutContext<'_>) -> Result<LogoutMessage, Fault>;
}

/// The Web Browser SSO profile with our own strict rules over the canonical form of `bergshamra-c14n` and the signatures of `ring`.
#[derive(Clone, Copy, Debug, Default)]
pub struct WebSso;

impl ServiceProvider for WebSso {
    fn metadata(&self, own: &Own, shown: Shown<'_>) -> Result<String, Fault> {
        Ok(metadata::of_ours(own, shown))
    }

    fn request(
        &self,
        own: &Own,
        provider: &IdentityProvider,
        asking: &Asking<'_>,
        key: &SigningKey,
    ) -> Result<String, Fault> {
        request::redirect(own, provider, asking, key)
    }

    fn accept(&self, response: &str, expected: &Expected<'_>) -> Result<Asserted, Fault> {
        response::accept(response, expected)
    }

    fn ask_to_sign_out(
        &self,
        own: &Own,
        provider: &IdentityProvider,
        leaving: &Leaving<'_>,
        key: &SigningKey,
    ) -> Result<Delivery, Fault> {
        logout::ask(own, provider, leaving, key)
    }

    fn answer_sign_out(
        &self,
        own: &Own,
        provider: &IdentityProvider,
        answering: &Answering<'_>,
        key: &SigningKey,
    ) -> Result<Delivery, Fault> {
        logout::answer(own, provider, answering, key)
    }

    fn hear(&self, query: &str, context: &LogoutContext<'_>) -> Result<LogoutMessage, Fault> {
        logout::hear(query, context)
    }

    fn hear_posted(&self, posted: &Posted<'_>, context: &LogoutContext<'_>) -> Result<LogoutMessage, Fault> {
        logout::hear_posted(posted, context)
    }
}
