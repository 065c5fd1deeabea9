//! The format of a backup on disk: a folder that other programs can read too.
//!
//! - `SHA256SUMS` lists every file with its hash, in the format of `sha256sum --check`;
//! - `manifest.json` ([`manifest`]) describes the content: positions, counts, the root of each tenant's Merkle tree;
//! - the parts ([`rows`]) are JSON lines, compressed with zstd: `directory`, and for each service its `events`,
//!   `commands`, `claims` and `decisions` about dead letters; and, where there are any, the `seals` of its tenants' histories, the rows
//!   of tables that stand beside its log (`webhooks.…`, `jobs.…`) and the `letters` that wait for webhooks.
//!
//! [`write`] makes a backup under a temporary name, syncs it and renames the complete folder; [`read`] checks each part against the
//! manifest; [`ledger`] is the one place that checks the invariants of the rows.

pub mod ledger;
pub mod manifest;
pub mod read;
pub mod rows;
pub mod write;

pub use ledger::Ledger;
pub use manifest::{BesidePart, Manifest, Part, ServicePart};
pub use read::Archive;
pub use write::Draft;

/// The file with the hashes of all other files.
const SUMS: &str = "SHA256SUMS";
/// The file that describes the backup's content.
const MANIFEST: &str = "manifest.json";
