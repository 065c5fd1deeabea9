//! The sagas of CRM. Each has a file with its parameters, the events that start it, and its steps with their undo.
//!
//! To add one, write its file with a `definition()`, its `mod` line and its line in [`sagas`], and its test story in `tests/`, which tests
//! it with all failures (`sagabed`). The runtime is in `sagas/coordinator`. See `docs/src/sagas.md`.

mod follow_up_lead;
mod revert_import;

use coordinator::Sagas;
use crm_commands::GRANTS;

coordinator::sagas_of!(
    /// The wire names of CRM's saga events.
    pub struct CrmSagas of "crm"
);

/// All sagas of CRM. Keep an old version as long as instances of it run.
pub fn sagas() -> Sagas {
    Sagas::of::<CrmSagas>(GRANTS, vec![follow_up_lead::definition(), revert_import::definition()])
}
