//! Trust in callers: verifies bearer tokens and API keys, and revokes that trust when something that it depends on changes.
//!
//! [`Trust::check`] verifies a token by its signature and against the log: its grant, and the machine or account behind it. It is called
//! for a token that is seen for the first time. The gateway caches the result as long as nothing that it depends on has changed
//! ([`ChangedIds`]). A follower of the log ([`follow`]) notes changes within a fraction of a second, independently of the bus; then the
//! token is verified again. See ADR 0019.
//!
//! [`Denials`] records what trusted callers were denied.

mod changed_ids;
mod check;
mod denials;
mod follower;
pub mod refusals;
mod refused_tokens;

pub use changed_ids::{ChangedIds, MAX_CACHE_AGE};
pub use check::{Trust, Trusted};
pub use denials::{Denials, Seen};
pub use follower::follow;
