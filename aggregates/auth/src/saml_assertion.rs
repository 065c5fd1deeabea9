//! Assertions of identity providers that were accepted: each can be used once.

use kernel::Aggregate;
use serde::{Deserialize, Serialize};

use crate::SamlConnectionId;

kernel::events! {
    /// Events of an assertion of an identity provider.
    pub enum SamlAssertionEvent of "auth.saml_assertion" {
        /// The assertion was accepted as valid, whatever the result; it can't be used again.
        SamlAssertionUsed = "auth.saml_assertion.used" @ 1 {
            /// Connection to the identity provider.
            pub connection: SamlConnectionId,
            /// Id of the assertion.
            pub assertion: String,
        },
    }
}

/// An assertion. It has no state: its stream exists if it was used, and the log allows a stream to be created only once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SamlAssertion {}

impl Aggregate for SamlAssertion {
    const TYPE: &'static str = "auth.saml_assertion";
    type Command = SamlAssertionUsed;
    type Event = SamlAssertionEvent;
    type Error = std::convert::Infallible;

    fn decide(&self, used: SamlAssertionUsed) -> Result<Vec<SamlAssertionEvent>, Self::Error> {
        Ok(vec![used.into()])
    }

    fn evolve(&mut self, _: SamlAssertionEvent) {}
}

kernel::aggregate!(SamlAssertion);
