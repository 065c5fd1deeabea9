//! The composition root: what makes one program of the layers.
//!
//! [`Config`] says where everything is; [`Server::start`] opens each chosen service (database, bus, executor, relay,
//! projections), puts the domains' REST and GraphQL behind one front (identity, limits, problems, telemetry) and serves until
//! [`Server::shutdown`]. [`migrate`] prepares the databases; [`contracts`] writes down what is offered.
//!
//! What it puts together stands elsewhere: settings in `config`, which tenants there are and how they come and go in `directory`, how a
//! request is forwarded to a service that runs elsewhere in `api/remote`.
//!
//! A request passes the folders in this order: `wire` (connections) → `front` (limits, [`auth`], problems, headers) → `routes` (which path
//! leads where) → `graphql`, `operations`, `reference`, or a domain's REST. What a domain needs of others it asks through ports, which
//! `adapters` answer. `server` starts all this, `service` opens one domain's service; `cells` is the program before several cells, and
//! `admin` what operators do by the command line.
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
pub use directory::lifecycle::{Deletion, ProvisionError, Restored, delete, restore, resume, stand_alone, suspend};
pub use domains::{DomainDefinition, SERVICES, all as domains, dead_letters_of, holdings, jobs_of, known};
pub use server::{Server, Services, StartError};
pub use service::REBUILD_READ_MODEL;
