//! Whom the gateway trusts: what a bearer token, or an API key, says of its bearer, and whether that still holds.
//!
//! [`Trust::check`] asks the log, which knows: a token's signature shows that it is ours, its grant (and machine) that it still
//! stands. That is for a token that is seen for the first time. Afterwards the gateway remembers it, as long as nothing on which
//! it rests was touched ([`Touched`]): a follower of the log ([`follow`]) says so within a fraction of a second, whatever became
//! of the bus, and what was touched is checked anew. See the decision 0019.
//!
//! What a caller who is trusted is denied all the same, [`Denials`] puts on record.

mod check;
mod denials;
mod follower;
mod noted;
pub mod refusals;
mod touched;

pub use check::{Trust, Trusted};
pub use denials::{Denials, Seen};
pub use follower::follow;
pub use touched::{REMEMBERED, Touched};
