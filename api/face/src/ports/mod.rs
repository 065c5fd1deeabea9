//! Ports: what a service asks of another, or of the world, without knowing who answers. A port is a trait; the gateway hands each service
//! the implementation, its adapter (`api/gateway/src/adapters`). Where nobody answers, as in a test or in a process that knows nobody, a
//! port's `no_…` or `No…` refuses.
//!
//! To add one: its file here, with what is asked and answered, and where it is kept for operations, in [`Runtime`](crate::Runtime).

mod active_tenants;
mod addressee;
mod admission;
mod mailed_links;
mod names;
mod people;
mod signing_in;
mod signing_keys;

// Commands ask, too, so it stands with what they run on.
pub use executor::{NoPermissions, Permissions};

pub use self::active_tenants::{ActiveTenants, all_tenants_active};
pub use self::addressee::{Addressee, Addressees, no_addressees};
pub use self::admission::{Admission, Vouched};
pub use self::mailed_links::{Invited, MailedLinks};
pub use self::names::{Hold, Names, NamesError, no_names};
pub use self::people::{People, PeopleError, Person};
pub use self::signing_in::{
    KnownConsent, KnownDenial, KnownPasskey, KnownRefusal, KnownSession, KnownWhereSignedIn, NobodySignsIn, SigningIn,
};
pub use self::signing_keys::{NoSigningKeys, SigningKeys};
