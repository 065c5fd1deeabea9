//! The request context that the gateway attaches to every request before a handler runs.

use std::sync::Arc;
use std::time::Duration;

use kernel::{Caller, Refusal};
use poem::Request;
use uuid::Uuid;

use crate::uploads::Uploads;

/// The result of authenticating a request.
#[derive(Clone, Debug)]
pub enum Identity {
    /// The request has no token.
    Anonymous,
    /// The token was not accepted, for this reason.
    Refused(Refusal),
    /// The token is valid.
    Known {
        /// The caller to whom it was issued.
        caller: Caller,
        /// Identifies the token within this process, for the rate limit per token.
        token: u64,
        /// How long the token remains valid.
        valid_for: Duration,
    },
}

impl Identity {
    /// The caller, or the refusal to answer with.
    pub fn caller(&self) -> Result<&Caller, Refusal> {
        match self {
            Self::Known { caller, .. } => Ok(caller),
            Self::Refused(refusal) => Err(refusal.clone()),
            Self::Anonymous => Err(Refusal::unauthenticated(
                "token_missing",
                "this needs a token: send the header Authorization: Bearer <token>",
            )),
        }
    }
}

/// The size limits of requests.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The most bytes of a JSON body.
    pub body: usize,
    /// The most bytes of an uploaded file.
    pub upload: usize,
    /// Limits how many uploaded files are in memory at a time.
    pub uploads: Arc<Uploads>,
}

/// The context of a request; the gateway stores it in the request's extensions.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The request id: `X-Request-Id` if it is a UUID, otherwise derived from that header or generated.
    pub id: Uuid,
    /// Who sent the request.
    pub identity: Identity,
    /// The W3C trace context of this request's span.
    pub traceparent: Option<String>,
    /// The size limits of the request.
    pub limits: Arc<Limits>,
}

impl Incoming {
    /// The context of `request`.
    ///
    /// # Errors
    /// `incoming_missing` when the request did not pass the gateway's front.
    pub fn of(request: &Request) -> Result<&Self, Refusal> {
        request.extensions().get::<Self>().ok_or_else(|| {
            Refusal::internal("incoming_missing", "the request did not come through the gateway's front; see the log")
        })
    }
}
