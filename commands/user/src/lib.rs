//! The user service's commands: what can be asked of people and tenants.
//!
//! Each file holds the commands of one aggregate: structs with what was sent, and for each its `executor::Command`: check
//! the form of the values (all errors at once, with JSON pointers of the REST body), look up what is referred to, ask the
//! aggregate, take claims. `access` says what roles allow and who may give them; `owners` keeps the tenant's owners true;
//! `import` takes users from a CSV file; `links` makes and reads what is mailed, `codes` what is texted; `sure` asks for a
//! fresh sign-in; `claims` tells from events what was claimed; `grants` says which role may do what.
//!
//! To add a command: its struct and `impl Command` in the file of its aggregate, and a permission in `grants`, if it needs a
//! new one. To add an aggregate's commands: a file with the aggregate's stem, and its lines here.

mod access;
mod admit;
mod claims;
mod codes;
mod domain;
mod grants;
mod group;
mod import;
mod invitation;
pub mod lengths;
mod links;
mod membership;
mod organization;
mod owners;
mod phone;
mod preferences;
mod profile;
mod provision;
mod references;
mod registration;
mod role;
mod status;
mod sure;
mod tenant;
mod user;
mod values;

pub use access::Catalogue;
pub use admit::*;
pub use claims::Claims;
pub use codes::{Code, CodeKey};
pub use domain::*;
pub use grants::GRANTS;
pub use group::*;
pub use import::*;
pub use invitation::*;
pub use links::{Link, LinkKey, Purpose};
pub use membership::*;
pub use organization::*;
pub use phone::*;
pub use preferences::*;
pub use profile::*;
pub use provision::*;
pub use registration::*;
pub use role::*;
pub use status::*;
pub use sure::sure;
pub use tenant::*;
pub use user::*;
