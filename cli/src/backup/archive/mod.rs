//! A backup on disk: a folder that other programs can read too.
//!
//! - `SHA256SUMS` lists every file with its hash, as `sha256sum --check` takes it;
//! - `manifest.json` ([`manifest`]) says what is in it: positions, counts, the root of each tenant's tree;
//! - the parts ([`rows`]) are lines of JSON, compressed with zstd: `directory`, and for each service its `events`,
//!   `commands`, `claims` and `decisions` about dead letters; and, where there are any, the `seals` of its tenants' histories, the rows
//!   of tables that stand beside its log (`webhooks.…`, `jobs.…`) and the `letters` that wait for webhooks.
//!
//! [`write`] makes one beside its place, syncs it and moves it there whole; [`read`] gives nothing of a part that is not what
//! the manifest says of it; [`ledger`] is the one place that knows what must be true of the rows.

pub mod ledger;
pub mod manifest;
pub mod read;
pub mod rows;
pub mod write;

pub use ledger::Ledger;
pub use manifest::{BesidePart, Manifest, Part, ServicePart};
pub use read::Archive;
pub use write::Draft;

/// The file with all hashes.
const SUMS: &str = "SHA256SUMS";
/// The file that says what is in it.
const MANIFEST: &str = "manifest.json";
