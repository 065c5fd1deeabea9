//! Webhooks: a tenant's events, signed, delivered in the log's order to a server of the tenant's own, at least once.
//!
//! An [`Endpoint`] says where, what and under which secret; tenants configure theirs through [`Webhooks`]. One active
//! [`Deliverer`] a service (advisory lock) runs a worker an endpoint: it reads the tenant's events after the endpoint's
//! cursor from the log, sends each ([`Sender`], which reaches no address that the [`Guard`] refuses), and moves the cursor in
//! the same statement that notes the delivery. What fails is tried again, later and later; the events after it wait, so
//! that the order is kept, and the other endpoints do not. A crash between a delivery and its note delivers it again under
//! the same `webhook-id`, by which receivers know it. An event that the receiver refuses as such, again and again, is parked with the
//! later ones of its aggregate (`letters.rs`), and the rest goes on.
//!
//! Configuration is tables, not events: see `docs/src/adr/`. To change the tables, write forward-only statements into
//! `tables.sql` that can be run again.

#![deny(missing_docs)]

pub mod backup;
mod configuration;
mod deliverer;
mod dice;
mod endpoint;
mod guard;
mod letters;
mod migrate;
mod note;
mod notices;
mod places;
mod positions;
mod row;
mod sender;
mod settings;
mod signature;
mod status;
mod worker;

pub use configuration::{
    Act, Changed, Done, EndpointFields, GRANTS, LONGEST_OVERLAP, READ, Request, Sources, WRITE, Webhooks,
};
pub use deliverer::Deliverer;
pub use dice::{Dice, SystemDice};
pub use endpoint::{Change, Delivery, Endpoint, State};
pub use guard::{Guard, Unreachable};
pub use migrate::migrate;
pub use notices::{Notice, Notices};
pub use sender::{Message, Outcome, Sender};
pub use settings::Settings;
pub use signature::{Secret, sign};
pub use status::EndpointCounts;
