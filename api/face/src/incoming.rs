//! What the gateway notes about a request before any handler sees it.

use std::sync::Arc;
use std::time::Duration;

use kernel::{Caller, Refusal};
use poem::Request;
use uuid::Uuid;

use crate::uploads::Uploads;

/// Who a request says it is from.
#[derive(Clone, Debug)]
pub enum Identity {
    /// No token.
    Anonymous,
    /// A token that was not accepted, and why.
    Refused(Refusal),
    /// A verified token.
    Known {
        /// Whose it is.
        caller: Caller,
        /// Which token it is, in this process: for the limit of requests with one token.
        token: u64,
        /// How long it stays valid.
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

/// How much a request may carry.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a JSON body.
    pub body: usize,
    /// Bytes of an uploaded file.
    pub upload: usize,
    /// How many such files there may be at once.
    pub uploads: Arc<Uploads>,
}

/// A request's circumstances; the gateway puts it into the request's extensions.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The request's id: `X-Request-Id` where it is a UUID, made or derived by us otherwise.
    pub id: Uuid,
    /// Who asks.
    pub identity: Identity,
    /// W3C trace context under which this request is carried out.
    pub traceparent: Option<String>,
    /// How much it may carry.
    pub limits: Arc<Limits>,
}

impl Incoming {
    /// The circumstances of `request`.
    pub fn of(request: &Request) -> Result<&Self, Refusal> {
        request.extensions().get::<Self>().ok_or_else(|| {
            Refusal::internal("incoming_missing", "the request did not come through the gateway's front; see the log")
        })
    }
}
