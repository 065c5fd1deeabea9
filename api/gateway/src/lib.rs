//! The composition root: what makes one program of the layers.
//!
//! [`Config`] says where everything is; [`Server::start`] opens each chosen service (database, bus, executor, relay,
//! projections), puts the domains' REST and GraphQL behind one front (identity, limits, problems, telemetry) and serves until
//! [`Server::shutdown`]. [`migrate`] prepares the databases; [`contracts`] writes down what is offered.
//!
//! To add a domain: its line in `domains.rs`. To add a setting: its field in `config/` and its line in `config/settings.rs`.

pub mod auth;
mod breaches;
pub mod cells;
pub mod config;
pub mod contracts;
mod dev_mail;
pub mod directory;
mod domains;
mod doors;
mod dossiers;
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
mod places;
mod provision;
mod rebuilding;
mod reference;
mod remote;
mod rewrap;
mod routes;
mod server;
mod service;
mod silence;
mod suspension;
pub mod telemetry;
pub mod tenant_keys;
mod tenants;
mod well_known;
mod write_side;

pub use config::Config;
pub use contracts::contracts;
pub use domains::{Part, SERVICES, dead_letters_of, jobs_of, parts};
pub use migrate::{Migrated, migrate};
pub use provision::{Deletion, ProvisionError, Restored, delete, provision, restore, resume, stand_alone, suspend};
pub use rewrap::{Outcome, RewrapError, master_key_name, rewrap};
pub use server::{Server, Services, StartError, bus_settings};
