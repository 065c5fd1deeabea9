//! CRM's commands: what can be asked of it.
//!
//! Each file holds the commands of one aggregate: structs with what was sent, and for each its `executor::Command`: check
//! the form of the values (all errors at once, with JSON pointers of the REST body), look up what is referred to, ask the
//! aggregate, take claims. `conversion` asks four aggregates at once, `erasure` all that is one person; `import` takes leads from
//! a CSV file; `stage` keeps pipelines and the deals in them consistent; `claims` tells from events what was claimed; `grants`
//! says which role may do what.
//!
//! To add a command: its struct and `impl Command` in the file of its aggregate, and a permission in `grants`, if it needs a
//! new one. To add an aggregate's commands: a file with the aggregate's stem, and its lines here.

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
pub use pipeline::*;
