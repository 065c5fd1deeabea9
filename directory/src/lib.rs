//! The directory of tenants: which tenants exist, under which names, in which cell each lives, and their life cycle. (A cell is one
//! Postgres cluster, one nats-server or cluster, and the processes that work with these.)
//!
//! It has its own database ([`migrate`]), because it belongs to no service. Requests query it only for tenants that the process has not
//! cached, and `look_ups` asks once for all who wait.
//!
//! - [`Directory`] is its table of tenants, and of the domains that they have verified.
//! - [`place`] is the aggregate of a tenant's place (its cell), without I/O. [`placements`] stores its events, in order. The front process
//!   of several cells follows these events in a [`cell_map`].
//! - [`lifecycle`] creates, suspends and deletes tenants, by commands to the user service, for operators of the platform.
//! - [`Installation`] does what is outside of that service's log, for the sagas `provision_tenant`, `note_tenant_status` and
//!   `delete_tenant`: it reserves names, checks databases and streams, makes keys, and in the end destroys all data of a tenant.
//! - [`moving`] moves a tenant to another cell while it stays in use.
//!
//! [`Holdings`] says which services exist and what they store. To add an event of places: a variant of [`place::Placed`], with its rule and
//! test. The tables with tenants' data in a service are listed in [`moving`] (a test of the gateway finds missing ones). To add a column:
//! `tables.sql`, which must be safe to run again.

#![deny(missing_docs)]

pub mod cell_map;
mod domains;
mod error;
mod holdings;
mod installation;
pub mod lifecycle;
mod look_ups;
pub mod moving;
pub mod place;
pub mod placements;
mod tables;
mod tenants;
mod write_side;

pub use error::DirectoryError;
pub use holdings::Holdings;
pub use installation::{Installation, KeyRings};
pub use placements::{Placements, PlacementsError};
pub use tables::{admin_options, migrate};
pub use tenants::{Directory, Listed, RestoredTenant, Tenant, Waits};
pub use user_sagas::{ResourceError, TenantStanding};
pub use write_side::{WriteSideError, check_both_keys, check_keys, open_log, write_side};
