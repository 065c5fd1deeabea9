//! The composition root: assembles all layers and domains into one server.
//!
//! [`Config`] holds the settings. [`Server::start`] opens each chosen service (database, bus, executor, relay, projections), puts
//! the domains' REST and GraphQL behind one front (identity, limits, problems, telemetry), and serves until
//! [`Server::shutdown`]. [`migrate`] prepares the databases; [`contracts`] generates the published contracts.
//!
//! A request passes these modules in order: `wire` (connections) → `front` (limits, [`auth`], problems, headers) → `routes` (which
//! path leads where) → `graphql`, `operations`, `reference`, or a domain's REST. `adapters` implement the ports through which
//! domains use each other. `server` starts everything, `service` opens the service of one domain, `cells` is the front of several
//! cells, and `admin` has the operators' tasks for the command line.
//!
//! Related crates: settings are in `config`, tenants and their life cycle in `directory`, and forwarding to services in other
//! processes in `api/remote`.
//!
//! To add a domain: its line in `domains.rs`. To add middleware: its file in `front/`. To add an adapter: its file in `adapters/`.

mod adapters;
mod admin;
pub mod auth;
mod cells;
pub mod contracts;
mod domains;
mod front;
mod graphql;
mod operations;
mod reference;
mod routes;
mod server;
mod service;
pub mod telemetry;
mod wire;

pub use admin::{Migrated, Outcome, RewrapError, master_key_name, migrate, operator, provision, rewrap, tenant_keys};
pub use config::Config;
pub use contracts::contracts;
pub use directory::lifecycle::{Deletion, ProvisionError, Restored, activate_copy, delete, restore, resume, suspend};
pub use domains::{DomainDefinition, SERVICES, all as domains, dead_letters_of, grants, holdings, jobs_of, known};
pub use server::{Server, Services, StartError};
pub use service::{REBUILD_READ_MODEL, job_names};
