//! The reasons for an erasure of personal data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a person's data is erased. It is one of a few values and not free text, because it is kept for ever and a text could
/// identify the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErasureReason {
    /// The person requested it.
    Requested,
    /// The person withdrew their consent.
    ConsentWithdrawn,
    /// The person objected to the processing.
    Objected,
    /// The data is no longer needed for its purpose.
    NoLongerNeeded,
    /// The data was processed unlawfully.
    Unlawful,
    /// A legal obligation requires it.
    LegalObligation,
}
