//! The user service's commands: everything that can be requested about people and tenants.
//!
//! Each file has the commands of one aggregate: structs with the values that were sent, and for each struct its
//! `executor::Command`. This checks the form of the values (all errors at once, with JSON pointers of the REST body), looks up
//! references, asks the aggregate to decide, and takes claims.
//!
//! Further modules: `access` resolves what roles allow and who may give them; `owners` keeps the list of a tenant's owners correct;
//! `import` imports users from a CSV file; `links` makes and reads mailed links, `codes` does the same for texted codes; `recent_sign_in`
//! requires a recent sign-in; `claims` derives from events what was claimed; `grants` says which role may do what.
//!
//! To add a command: write its struct and `impl Command` in the file of its aggregate, and a permission in `grants` if it needs a
//! new one. To add an aggregate's commands: add a file with the aggregate's name, and its lines here.

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
mod picture;
mod preferences;
mod profile;
mod provision;
mod recent_sign_in;
mod references;
mod registration;
mod role;
mod status;
mod tenant;
mod user;
mod values;

pub use access::{Catalogue, SubjectsInLog};
pub use admit::*;
pub use claims::Claims;
pub use codes::{Code, CodeKey};
pub use domain::*;
pub use grants::{GRANTS, SELF};
pub use group::*;
pub use import::*;
pub use invitation::*;
pub use links::{Link, LinkKey, Purpose};
pub use membership::*;
pub use organization::*;
pub use phone::*;
pub use picture::*;
pub use preferences::*;
pub use profile::*;
pub use provision::*;
pub use recent_sign_in::require_recent_sign_in;
pub use registration::*;
pub use role::*;
pub use status::*;
pub use tenant::*;
pub use user::*;
