//! Ports: traits by which a service uses another service or the outside world without depending on it. The gateway passes each service
//! the implementations, the adapters (`api/gateway/src/adapters`). A port's `no_…` or `No…` is an implementation that refuses, for tests
//! and for processes that have no adapter.
//!
//! To add one: add its file here, with the trait and its types, and a field for it in [`Runtime`](crate::Runtime) if operations need it.

mod active_tenants;
mod addressee;
mod admission;
mod mailed_links;
mod names;
mod own_pictures;
mod people;
mod signing_in;
mod signing_keys;

// Commands use this port, too, so it is defined in the executor.
pub use executor::{NoPermissions, Permissions};

pub use self::active_tenants::{ActiveTenants, all_tenants_active};
pub use self::addressee::{Addressee, Addressees, no_addressees};
pub use self::admission::{Admission, AssertedPerson};
pub use self::mailed_links::{Invited, MailedLinks};
pub use self::names::{DomainOwnership, Names, NamesError, no_names};
pub use self::own_pictures::OwnPictures;
pub use self::people::{People, PeopleError, Person};
pub use self::signing_in::{
    KnownConsent, KnownDenial, KnownPasskey, KnownRefusal, KnownSession, KnownWhereSignedIn, NobodySignsIn, SigningIn,
};
pub use self::signing_keys::{NoSigningKeys, SigningKeys};
