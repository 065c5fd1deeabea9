//! Sending our messages to a provider through the browser: in a redirect (bindings, section 3.4) or a form (section 3.5).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Fault, SigningKey, request, signature};

/// A message to a provider, ready for the browser.
#[derive(Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The URL to which the browser is redirected.
    Redirect(String),
    /// The form that the browser posts.
    Post(PostForm),
}

/// A form that carries a message to a provider.
#[derive(Clone, PartialEq, Eq)]
pub struct PostForm {
    /// The URL to which it is posted.
    pub url: String,
    /// The fields: names and values.
    pub fields: Vec<(&'static str, String)>,
}

/// A message that we send.
pub(crate) struct Message<'m> {
    /// `SAMLRequest` or `SAMLResponse`.
    pub(crate) kind: &'static str,
    /// The value of its attribute `ID`.
    pub(crate) id: &'m str,
    pub(crate) document: String,
    pub(crate) relay_state: Option<&'m str>,
}

impl Message<'_> {
    /// Signs the message as its binding requires.
    ///
    /// # Errors
    /// [`Fault::Key`].
    pub(crate) fn deliver(&self, url: &str, by_post: bool, key: &SigningKey) -> Result<Delivery, Fault> {
        if !by_post {
            return request::signed(url, (self.kind, &self.document), self.relay_state, key).map(Delivery::Redirect);
        }
        let signed = signature::sign(&self.document, self.id, key)?;
        let relay_state = self.relay_state.map(|text| ("RelayState", text.to_owned()));
        let fields = [(self.kind, STANDARD.encode(signed))].into_iter().chain(relay_state).collect();
        Ok(Delivery::Post(PostForm { url: url.to_owned(), fields }))
    }
}
