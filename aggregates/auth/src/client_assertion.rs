//! Assertions with which clients authenticated (RFC 7523): each can be used once.

use kernel::Aggregate;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

kernel::events! {
    /// Events of a client's assertion.
    pub enum ClientAssertionEvent of "auth.client_assertion" {
        /// The client authenticated with this assertion; it can't be used again.
        ClientAssertionUsed = "auth.client_assertion.used" @ 1 {
            /// Id of the client or machine.
            pub client: Uuid,
            /// Id of the assertion (`jti`), chosen by the client.
            pub jti: String,
        },
    }
}

/// An assertion. It has no state: its stream exists if it was used, and the log allows a stream to be created only once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientAssertion {}

impl Aggregate for ClientAssertion {
    const TYPE: &'static str = "auth.client_assertion";
    type Command = ClientAssertionUsed;
    type Event = ClientAssertionEvent;
    type Error = std::convert::Infallible;

    fn decide(&self, used: ClientAssertionUsed) -> Result<Vec<ClientAssertionEvent>, Self::Error> {
        Ok(vec![used.into()])
    }

    fn evolve(&mut self, _: ClientAssertionEvent) {}
}

kernel::aggregate!(ClientAssertion);
