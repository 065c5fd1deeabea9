//! Why all that tells who somebody was is erased.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why somebody is erased: one of a few words, because it is kept for ever, and a text of one's own would tell who it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErasureReason {
    /// They asked for it.
    Requested,
    /// They take back that we may keep it.
    ConsentWithdrawn,
    /// They object to what we do with it.
    Objected,
    /// What it was kept for is over.
    NoLongerNeeded,
    /// It should never have been kept.
    Unlawful,
    /// A law says so.
    LegalObligation,
}
