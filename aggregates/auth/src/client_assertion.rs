//! Assertions by which clients showed who they are (RFC 7523): each shows it once.

use kernel::Aggregate;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

kernel::events! {
    /// What can happen to a client's assertion.
    pub enum ClientAssertionEvent of "auth.client_assertion" {
        /// The client showed by it who it is, and shows nothing by it a second time.
        ClientAssertionUsed = "auth.client_assertion.used" @ 1 {
            /// The client, or the machine.
            pub client: Uuid,
            /// The assertion's own id, as the client chose it.
            pub jti: String,
        },
    }
}

/// An assertion: that its history has begun is all that there is to know, and that it begins once, the log sees to.
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
