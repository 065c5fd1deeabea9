//! The composition root: what makes one program of the layers.
//!
//! [`Config`] says where everything is; [`Server::start`] opens each chosen service (database, bus, executor, relay,
//! projections), puts the domains' REST and GraphQL behind one front (identity, limits, problems, telemetry) and serves until
//! [`Server::shutdown`]. [`migrate`] prepares the databases; [`contracts`] writes down what is offered.
//!
//! What it puts together stands elsewhere: settings in `config`, which tenants there are and how they come and go in `directory`, how a
//! request is forwarded to a service that runs elsewhere in `api/remote`.
//!
//! To add a domain: its line in `domains.rs`. To add middleware: its file in `front/`.

mod adapters;
pub mod auth;
mod cells;
pub mod contracts;
mod denials;
mod dev_mail;
mod domains;
mod forwarding;
mod front;
mod graphql;
mod issuing;
mod methods;
mod migrate;
mod operations;
pub mod operator;
mod parameters;
mod people;
mod provisioning;
mod rebuilding;
mod reference;
mod rewrap;
mod routes;
mod server;
mod service;
mod suspension;
pub mod telemetry;
pub mod tenant_keys;
mod well_known;
mod wire;

pub use config::Config;
pub use contracts::contracts;
pub use directory::lifecycle::{Deletion, ProvisionError, Restored, delete, restore, resume, stand_alone, suspend};
pub use domains::{Part, SERVICES, dead_letters_of, holdings, jobs_of, known, parts};
pub use migrate::{Migrated, migrate};
pub use provisioning::provision;
pub use rewrap::{Outcome, RewrapError, master_key_name, rewrap};
pub use server::{Server, Services, StartError};
