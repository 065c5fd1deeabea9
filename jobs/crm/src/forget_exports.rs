//! Somebody was erased: files that were exported before may tell who they were.

use std::time::Duration;

use jobs::{Fault, Kind, Work};
use kernel::Position;
use projector::ReadModels;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::EXPORT_LEADS;

/// The kind's name.
pub const FORGET_EXPORTS: &str = "forget_exports";

/// How long an attempt waits for the read models to forget.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is begun at most: for some days, with the waits in between. Then files are removed because they are old.
const ATTEMPTS: u32 = 200;

/// Since when nothing tells who they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForgetExports {
    /// The erasure's position in the log.
    pub erased_at: u64,
}

pub(crate) fn kind(read_models: ReadModels) -> Kind {
    Kind::new(FORGET_EXPORTS, move |work| forget(read_models.clone(), work)).attempts(ATTEMPTS)
}

async fn forget(read_models: ReadModels, work: Work) -> Result<Value, Fault> {
    let ForgetExports { erased_at } = work.arguments()?;
    // What is exported from then on has nothing of them; what was begun before may have.
    let forgotten = read_models.wait_for(work.tenant(), Position(erased_at), PATIENCE).await;
    forgotten.map_err(|behind| Fault::failed("read_models_behind", behind))?;
    let files = work.forget_outputs(EXPORT_LEADS).await?;
    Ok(json!({ "files": files }))
}
