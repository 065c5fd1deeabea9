//! CRM's commands: everything that can be requested of CRM.
//!
//! Each file has the commands of one aggregate: structs with the values that were sent, and for each struct its
//! `executor::Command`. This checks the form of the values (all errors at once, with JSON pointers of the REST body), looks up
//! references, asks the aggregate to decide, and takes claims.
//!
//! Further modules: `conversion` changes four aggregates at once; `erasure` erases all records of one person; `import` imports leads
//! from a CSV file; `owner` looks up whoever is given a record; `stage` keeps pipelines and their deals consistent; `claims` derives from
//! events what was claimed; `grants` says which role may do what.
//!
//! To add a command: write its struct and `impl Command` in the file of its aggregate, and a permission in `grants` if it needs a
//! new one. To add an aggregate's commands: add a file with the aggregate's name, and its lines here.

mod account;
mod claims;
mod contact;
mod conversion;
mod currencies;
mod erasure;
mod follow_up;
mod grants;
mod import;
mod import_revert;
mod lead;
pub mod lengths;
mod money;
mod opportunity;
mod owner;
mod pipeline;
mod references;
mod stage;
mod values;

pub use account::*;
pub use claims::Claims;
pub use contact::*;
pub use conversion::*;
pub use currencies::*;
pub use erasure::*;
pub use follow_up::*;
pub use grants::GRANTS;
pub use import::*;
pub use import_revert::*;
pub use lead::*;
pub use money::MoneyFields;
pub use opportunity::*;
pub use owner::OwnerLookups;
pub use pipeline::*;
