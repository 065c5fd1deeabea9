//! Removes exported and uploaded files of leads after a person was erased, because the files may contain their data.

use crm_commands::EraseContact;
use executor::Command as _;
use jobs::Kind;
use projector::ReadModels;

use crate::{EXPORT_LEADS, IMPORT_LEADS};

/// The kind's name. The append that erases a person submits it, without arguments.
pub const FORGET_EXPORTS: &str = "forget_exports";

pub(crate) fn kind(read_models: ReadModels) -> Kind {
    let kind = import_jobs::forgetting(FORGET_EXPORTS, &[EXPORT_LEADS, IMPORT_LEADS], read_models);
    kind.guarded(EraseContact::PERMISSION)
}
