//! The directory of tenants: which tenants exist, under which names, in which cell each lives, and their life cycle. (A cell is one
//! Postgres cluster, one nats-server or cluster, and the processes that work with these.)
//!
//! It is a database of its own ([`migrate`]), because it belongs to no service. Requests ask it only about what the process does not
//! know yet.
//!
//! - [`Directory`] is its table of tenants, and of the domains that they have verified.
//! - [`place`] decides what may happen to a tenant's place, without I/O; [`placements`] records it, in order. The front of several
//!   cells follows these records in a [`cell_map`].
//! - [`lifecycle`] creates, suspends and deletes tenants, by commands to the user service, for operators of the platform.
//! - [`Installation`] does what is outside of that service's log, for the sagas `provision_tenant`, `note_tenant_status` and
//!   `delete_tenant`: it reserves names, checks databases and streams, makes keys, and in the end destroys all data of a tenant.
//! - [`moving`] moves a tenant to another cell while it works, one service after the other.
//!
//! [`Holdings`] says which services exist and what they store. To add something that can happen to places: a variant of
//! [`place::Placed`], with its rule and test. Data that tenants have in a service is listed in [`moving`] (a test of
//! the gateway finds tables that are missing there). To add a column: `tables.sql`, which must be safe to run again.

#![deny(missing_docs)]

pub mod cell_map;
mod holdings;
mod installation;
pub mod lifecycle;
pub mod moving;
pub mod place;
pub mod placements;
mod tables;
mod tenants;
mod write_side;

pub use holdings::Holdings;
pub use installation::{Installation, KeyRings};
pub use placements::{Placements, PlacementsError};
pub use tables::{admin_options, migrate};
pub use tenants::{Directory, DirectoryError, Listed, Tenant};
pub use user_sagas::{PlaceError, TenantStanding};
pub use write_side::{WriteSideError, write_side};
