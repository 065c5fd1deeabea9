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

pub mod auth;
mod breaches;
mod cells;
pub mod contracts;
mod denials;
mod dev_mail;
mod domains;
mod doors;
mod dossiers;
mod forwarding;
mod front;
mod graphql;
mod issuing;
mod keysmith;
mod letters;
mod machines;
mod methods;
mod migrate;
mod names;
mod notices;
mod operations;
pub mod operator;
mod outside;
mod parameters;
mod people;
mod powers;
mod provisioning;
mod rebuilding;
mod reference;
mod rewrap;
mod rings;
mod routes;
mod server;
mod service;
mod suspension;
pub mod telemetry;
pub mod tenant_keys;
mod tenants;
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
