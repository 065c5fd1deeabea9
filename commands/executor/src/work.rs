//! One attempt at a command.

use std::fmt::Display;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use kernel::{Aggregate, Caller, Refusal};
use uuid::Uuid;

use crate::ClaimKind;

/// One attempt at a command: what it read, what it wants to happen.
pub struct Work<'a> {
    caller: &'a Caller,
}

#[expect(clippy::todo, clippy::unused_self, unused_variables, reason = "being written")]
impl Work<'_> {
    /// A new aggregate.
    pub fn create<A: Aggregate>(&mut self, id: impl Display, command: A::Command) -> Result<(), Refusal> {
        todo!()
    }
    /// A new aggregate that came to be at `occurred_at`; needs the permission to backdate.
    pub fn create_at<A: Aggregate>(
        &mut self,
        id: impl Display,
        occurred_at: DateTime<Utc>,
        command: A::Command,
    ) -> Result<(), Refusal> {
        todo!()
    }
    /// An aggregate that exists.
    pub async fn update<A: Aggregate>(&mut self, id: impl Display + Send, command: A::Command) -> Result<(), Refusal> {
        todo!()
    }
    /// An aggregate that exists, or begins now.
    pub async fn upsert<A: Aggregate>(&mut self, id: impl Display + Send, command: A::Command) -> Result<(), Refusal> {
        todo!()
    }
    /// An aggregate's state, if it exists.
    pub async fn find<A: Aggregate>(&mut self, id: impl Display + Send) -> Result<Option<Arc<A>>, Refusal> {
        todo!()
    }
    /// An aggregate's state.
    pub async fn read<A: Aggregate>(&mut self, id: impl Display + Send) -> Result<Arc<A>, Refusal> {
        todo!()
    }
    /// Takes a claim.
    pub fn take(&mut self, kind: &'static ClaimKind, value: &str, holder: impl Display) {}
    /// Releases a claim.
    pub fn release(&mut self, kind: &'static ClaimKind, value: &str, holder: impl Display) {}
    /// Marks.
    pub fn mark(&mut self, kind: &'static ClaimKind, value: &str, holder: impl Display) {}
    /// Refuses if present.
    pub fn absent(&mut self, kind: &'static ClaimKind, value: &str, holder: impl Display) {}
    /// A new id.
    pub fn new_id<I: From<Uuid>>(&self) -> I {
        todo!()
    }
    /// Now.
    pub fn now(&self) -> DateTime<Utc> {
        todo!()
    }
    /// When it happened.
    pub fn occurred_at(&self) -> DateTime<Utc> {
        todo!()
    }
    /// Who asks.
    pub fn caller(&self) -> &Caller {
        self.caller
    }
}
