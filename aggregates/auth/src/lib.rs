//! The auth service's aggregates: the rules of sign-in. Examples are a person's account and sessions, clients, machines and API
//! keys, the keys that sign a tenant's tokens, and what was granted to whom.
//!
//! Each aggregate is one file, in this order: events, state, commands, errors, `decide`, `evolve`, tests (given / when / then).
//! Nothing here does I/O, reads a clock or makes an identifier: these come in with the command. Events may be read by other
//! systems, so they contain secrets only encrypted ([`keys::Sealed`]) or, if the secret is long and random, as a hash.
//!
//! A refusal that matters for security is an event, too: for example, a code that is used a second time revokes what it had
//! granted. So the refusal is recorded once, and the caller learns of it from the state after it.
//!
//! To add an aggregate: add its file, its `mod` and `pub use` lines below, and its line in [`AGGREGATES`]; then files of the same
//! name in `commands/auth`, `projections/auth` and `api/auth`.

mod access;
mod account;
mod api_key;
mod branding;
mod client;
mod client_assertion;
mod device;
mod grant;
mod jwk;
mod key_ring;
mod listener;
mod machine;
mod moment;
mod passkey;
mod saml_assertion;
mod saml_connection;
mod session;
mod sign_in;
mod sign_in_policy;

pub use access::*;
pub use account::*;
pub use api_key::*;
pub use branding::*;
pub use client::*;
pub use client_assertion::*;
pub use device::*;
pub use grant::*;
pub use jwk::*;
pub use key_ring::*;
pub use listener::*;
pub use machine::*;
pub use moment::*;
pub use passkey::*;
pub use saml_assertion::*;
pub use saml_connection::*;
pub use session::*;
pub use sign_in::*;
pub use sign_in_policy::*;

kernel::ids! {
    /// A grant: what a client may do for a subject, with its tokens.
    GrantId,
    /// A session: a user is signed in with one browser.
    SessionId,
    /// An application that signs users in.
    ClientId,
    /// An assertion with which a client authenticates.
    ClientAssertionId,
    /// An identity provider that signs users in.
    SamlConnectionId,
    /// An assertion of an identity provider, valid once.
    SamlAssertionId,
    /// A device that requests access.
    DeviceId,
    /// An API key of a machine.
    ApiKeyId,
    /// A denied access, with its repetitions within an hour.
    AccessId,
}

/// Every aggregate of the auth service.
pub const AGGREGATES: &[kernel::AggregateType] = &[
    kernel::AggregateType::of::<KeyRing>(),
    kernel::AggregateType::of::<Machine>(),
    kernel::AggregateType::of::<ApiKey>(),
    kernel::AggregateType::of::<Grant>(),
    kernel::AggregateType::of::<Client>(),
    kernel::AggregateType::of::<ClientAssertion>(),
    kernel::AggregateType::of::<Device>(),
    kernel::AggregateType::of::<Account>(),
    kernel::AggregateType::of::<SamlAssertion>(),
    kernel::AggregateType::of::<SamlConnection>(),
    kernel::AggregateType::of::<Session>(),
    kernel::AggregateType::of::<SignIn>(),
    kernel::AggregateType::of::<Access>(),
    kernel::AggregateType::of::<SignInPolicy>(),
    kernel::AggregateType::of::<Branding>(),
];

/// Every event type and version that the auth service's log may contain.
pub fn event_types() -> Vec<kernel::EventType> {
    AGGREGATES.iter().flat_map(|aggregate| (aggregate.event_types)()).collect()
}
