//! Dead letters: events that a consumer cannot process are kept here, in order, until it can, or until somebody decides.
//!
//! A consumer ([`Consumer`]: a projection, a saga or a webhook) that cannot process an event *parks* it, with all later events of the
//! same aggregate, in the transaction in which it processes the others ([`park()`]). All other events continue. Then it retries by
//! itself with growing pauses ([`Backoff`]): it [`take()`]s what is due ([`take_decided()`]: what people decided about), processes
//! it with the events that wait behind it, and records the result with [`settle()`], in one transaction. Nothing is polled while
//! nothing is parked.
//!
//! People inspect letters and decide through [`DeadLetters`]: redrive (retry now), edit (this consumer alone sees another payload; the
//! log never changes), or discard (this consumer never sees the event). Decisions are stored with who and why ([`Decisions`]), and
//! rebuilds of read models respect them. Personal data in an edit is encrypted as in the log (`marking.rs`), and becomes unreadable
//! when the person is erased. A [`DryRun`] shows beforehand what a decision would do.
//!
//! A [`Publisher`] reports changes on the bus (stream `DEAD_LETTERS`), for alerts and tools. Postgres has the truth: the
//! schema `dead` of each service's database (`tables.sql`). To add a kind of consumer: add a line in [`Kind`], and its role to
//! those who may write in `tables.sql`. See `docs/src/dead-letters.md`.

#![deny(missing_docs)]

pub mod backup;
mod consumer;
mod dead_letters;
mod decisions;
mod dry_run;
mod errors;
mod held;
mod idempotency;
mod jitter;
mod letter;
mod marking;
mod migrate;
pub mod moved;
mod notifications;
mod park;
mod publisher;
mod retry;

pub use consumer::{Consumer, Kind, LetterId, Share};
pub use dead_letters::{DeadLetters, Done, LetterDetails, Preview, Request, Restricted};
pub use decisions::{Decisions, Part, Verdict};
pub use dry_run::{DryRun, DryRunResult};
pub use errors::chain;
pub use held::Held;
pub use kernel::Backoff;
pub use letter::{Attempt, Decided, DecisionKind, Letter, Listing, State, events};
pub use migrate::create;
pub use notifications::forward_decisions;
pub use park::{Entry, clear, forget, hold, park, retry_soon};
pub use publisher::Publisher;
pub use retry::{LOCKED_PAUSE, Outcome, Settled, Taken, due, settle, take, take_decided};
