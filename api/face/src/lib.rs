//! The building blocks of every domain's API: extractors, answers, errors, and the trait [`Domain`].
//!
//! A request comes in through the gateway, which identifies the caller and notes the circumstances ([`Incoming`]).
//!
//! - A REST handler takes a [`Command`] (caller, headers and body, all checked), a [`PublicCommand`] (without a token) or an
//!   [`Authenticated`] reader. It answers [`Created`], [`Changed`], [`Unversioned`] or a [`Resource`] (see [`operation`]); [`Streamed`], if
//!   what is asked for may be long.
//! - Every refusal becomes one [`Problem`] document (RFC 9457).
//! - A GraphQL resolver gets a [`graphql::Context`]: the caller, one transaction for each service, dataloaders, live events.
//! - What a service needs from another service, it asks through a port (`ports/`).
//!
//! A domain plugs into the gateway by implementing [`Domain`]; its line in `api/gateway/src/domains.rs` is the only central
//! one. To add an endpoint: add a file in the domain's API crate, with its body as a serde type (`deny_unknown_fields`) that
//! derives `JsonSchema`; an [`Example`] shows its answer in the contract. Nothing here changes.

mod answer;
mod body;
mod by_service;
mod command;
mod command_headers;
mod denied;
mod domain;
mod entity_tag;
mod erasure;
pub mod example;
pub mod form;
pub mod graphql;
mod headers;
mod identity;
pub mod import;
mod incoming;
mod job;
mod live;
mod nullable;
pub mod operation;
mod parameter;
mod person_event;
mod ports;
mod position;
mod postal_address;
mod problem;
mod rest;
pub mod schema;
mod streamed;
mod uploads;
mod whole;

pub use answer::{Accepted, Changed, Created, Plain, Resource, Unstored, Unversioned, UnversionedCreated};
pub use body::{Empty, RawBody, decode_json};
pub use by_service::ByService;
pub use command::{Command, HEADERS, PublicCommand, Purpose, Upload};
pub use command_headers::{idempotent_request, refuse_backdating, refuse_event_headers};
pub use denied::{Denials, Denied};
pub use domain::{Domain, ReadSide, RolePeriods, Runtime, ServiceSecret, WriteSide};
pub use entity_tag::{Comparison, EntityTags, NotEntityTags};
pub use erasure::Erasure;
pub use eventstore::log_unreadable;
pub use example::Example;
pub use folding::RolePeriod;
pub use identity::Authenticated;
pub use incoming::{Identity, Incoming, Limits};
pub use job::job_request;
pub use live::{LiveEvents, MissedEvents};
pub use nullable::{Nullable, nullable};
pub use parameter::{Count, MOST_OF_A_PAGE, Parameter, Word};
pub use person_event::PersonEvent;
pub use ports::{
    ActiveTenants, Addressee, Addressees, Admission, AssertedPerson, DomainOwnership, Invited, KnownConsent,
    KnownDenial, KnownPasskey, KnownRefusal, KnownSession, KnownWhereSignedIn, MailedLinks, Names, NamesError,
    NoPermissions, NoSigningKeys, NobodySignsIn, OwnPictures, People, PeopleError, Permissions, Person, SigningIn,
    SigningKeys, all_tenants_active, no_addressees, no_names,
};
pub use position::MinPositions;
pub use postal_address::NewPostalAddress;
pub use problem::{Problem, challenge, status};
pub use streamed::Streamed;
pub use uploads::Uploads;
pub use whole::Whole;
