//! Webhooks: deliver a tenant's events, signed, in log order, to a server of the tenant, at least once.
//!
//! An [`Endpoint`] has the address, the selection of events and the secret; tenants configure theirs through [`Webhooks`]. One active
//! [`Deliverer`] for each service (advisory lock) runs a worker for each endpoint. A worker reads the tenant's events after the endpoint's
//! cursor from the log, sends each ([`Sender`], which refuses addresses that the [`Guard`] does not allow), and moves the cursor in
//! the same statement that records the delivery.
//!
//! A failed delivery is retried with growing pauses. Later events of the endpoint wait, which keeps the order; other endpoints do not
//! wait. The endpoints of a suspended tenant have no workers, and continue from their cursors afterwards. A crash between a delivery and
//! its record delivers the event again with the same `webhook-id`, by which receivers recognize it. An event that the receiver itself
//! refuses several times is parked with the later ones of its aggregate (`letters.rs`), and the others continue.
//!
//! Configuration is in tables, not events (decision 9 in `docs/src/adr/`). To change the tables, write forward-only statements into
//! `tables.sql` that can be run again. See `docs/src/events.md`.

#![deny(missing_docs)]

mod attempts;
pub mod backup;
mod configuration;
mod deliverer;
mod endpoint;
mod guard;
mod letters;
mod migrate;
mod notices;
mod positions;
mod random;
mod row;
mod sender;
mod settings;
mod signature;
mod slots;
mod status;
mod worker;

pub use configuration::{
    Changed, Done, EndpointCommand, EndpointFields, GRANTS, LONGEST_OVERLAP, READ, Request, Sources, WRITE, Webhooks,
};
pub use deliverer::Deliverer;
pub use endpoint::{Change, Delivery, Endpoint, State};
pub use guard::{Guard, Unreachable};
pub use migrate::migrate;
pub use notices::{Notice, Notices};
pub use random::{RandomSource, SystemRandomSource};
pub use sender::{Message, Outcome, Sender};
pub use settings::Settings;
pub use signature::{Secret, sign};
pub use status::EndpointCounts;
