//! How our messages get to a provider, by a browser: in an address (bindings, section 3.4) or in a form (section 3.5).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Fault, SigningKey, request, signature};

/// A message on its way to a provider.
#[derive(Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The address that a browser is sent to.
    Redirect(String),
    /// The form that a browser sends.
    Post(PostForm),
}

/// A form that brings a message to a provider.
#[derive(Clone, PartialEq, Eq)]
pub struct PostForm {
    /// Where it is sent.
    pub url: String,
    /// Its fields: names and values.
    pub fields: Vec<(&'static str, String)>,
}

/// A message of ours.
pub(crate) struct Message<'m> {
    /// `SAMLRequest` or `SAMLResponse`.
    pub(crate) kind: &'static str,
    /// The id that it has in the document.
    pub(crate) id: &'m str,
    pub(crate) document: String,
    pub(crate) relay_state: Option<&'m str>,
}

impl Message<'_> {
    /// Signs it, as it has to be for the way that it takes.
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
