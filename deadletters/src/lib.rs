//! Dead letters: what a consumer can't take waits here, in order, until it can, or until somebody decides.
//!
//! A consumer ([`Consumer`]: a projection, a saga, a webhook) that can't take an event *parks* it, with all later events of its
//! aggregate, in the transaction in which it takes the rest ([`park()`]); everything else flows on. From then on it tries again
//! by itself, later and later ([`Backoff`]): it [`take()`]s what is due ([`take_decided()`]: what people decided about), does its own work with the events behind it, and
//! [`settle()`]s, in one transaction. Nothing is polled while nothing is parked.
//!
//! People look at letters and decide through [`DeadLetters`]: redrive (now), edit (only this consumer sees another payload; the
//! log never changes), discard (this consumer never sees the event). Decisions are kept with who and why ([`Decisions`]), and
//! hold when a read model is built anew; what is personal in an edit is sealed as in the log (`marking.rs`), and goes with its
//! person's key. A [`Rehearse`]r says beforehand what would come of it.
//!
//! What changes is told on the bus by a [`Publisher`] (stream `DEAD_LETTERS`), for alerts and tools. Postgres is the truth: the
//! schema `dead` of each service's database (`tables.sql`). To add a kind of consumer: a line in [`Kind`], and its role among
//! those who may write in `tables.sql`.

#![deny(missing_docs)]

mod backoff;
pub mod backup;
mod consumer;
mod dead_letters;
mod decisions;
mod errors;
mod hearing;
mod held;
mod letter;
mod marking;
mod migrate;
pub mod moved;
mod once;
mod park;
mod publisher;
mod rehearse;
mod retry;

pub use backoff::Backoff;
pub use consumer::{Consumer, Kind, LetterId, Share};
pub use dead_letters::{DeadLetters, Done, Preview, Request, Shown};
pub use decisions::{Decisions, Part, Verdict};
pub use errors::chain;
pub use hearing::hear;
pub use held::Held;
pub use letter::{Attempt, Decided, Letter, Listing, State, events};
pub use migrate::create;
pub use park::{Entry, clear, forget, hasten, park};
pub use publisher::Publisher;
pub use rehearse::{Rehearsal, Rehearse};
pub use retry::{LOCKED_PAUSE, Outcome, Settled, Taken, due, settle, take, take_decided};
