//! Stages of pipelines: add, change, reorder, retire, remove.

use crm_aggregates::{MAX_STAGES, StageId};
use crm_commands::{AddStage, ChangeStage, RemoveStage, ReorderStages, RetireStage, StageFields};
use face::{Changed, Command, Empty, Example, Runtime, Whole, example};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Tag;
use super::form;
use crate::SERVICE;
use face::operation::{Done, change, id};

/// The operations on stages.
pub struct Stages {
    runtime: Runtime,
}

impl Stages {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }
}

/// What a stage is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewPipelineStage")]
#[schemars(example = serde_json::json!({"name": "Offer", "probability": 60, "rotten_after_days": 30}))]
pub struct StageBody {
    /// Unique in its pipeline.
    #[schemars(with = "form::Name")]
    name: String,
    /// How likely a deal in it is won: 0 to 100 per cent.
    probability: Whole<u8, 0, 100>,
    /// After so many days without a change a deal in it is rotten: 1 to 3650; none: never.
    #[serde(default)]
    rotten_after_days: Option<Whole<u16, 1, 3650>>,
}

impl From<StageBody> for StageFields {
    fn from(body: StageBody) -> Self {
        Self {
            name: body.name,
            probability: body.probability.0,
            rotten_after_days: body.rotten_after_days.map(|days| days.0),
        }
    }
}

/// A stage to put in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"name": "Negotiation", "probability": 80}))]
struct StageAddition {
    /// Unique in its pipeline.
    #[schemars(with = "form::Name")]
    name: String,
    /// How likely a deal in it is won: 0 to 100 per cent.
    probability: Whole<u8, 0, 100>,
    /// After so many days without a change a deal in it is rotten: 1 to 3650; none: never.
    #[serde(default)]
    rotten_after_days: Option<Whole<u16, 1, 3650>>,
    /// Where; 0: first; none: last.
    #[serde(default)]
    index: Option<Whole<u32, 0, 50>>,
}

/// Another order.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"order": ["0197a8a0-0000-7000-8000-000000000002", "0197a8a0-0000-7000-8000-000000000001"]}))]
struct StageOrder {
    /// All stages of the pipeline, each once.
    #[schemars(length(min = 1, max = MAX_STAGES))]
    order: Vec<StageId>,
}

/// A stage that was put in.
#[derive(Debug, Serialize, JsonSchema)]
struct StageAdded {
    /// The pipeline.
    id: Uuid,
    /// The new stage.
    stage: Uuid,
}

impl Example for StageAdded {
    fn example() -> Self {
        Self { id: example::id(5), stage: example::id(8) }
    }
}

#[OpenApi(tag = "Tag::Pipelines")]
impl Stages {
    /// Put a stage into a pipeline
    ///
    /// Needs the permission `crm:pipeline:write`.
    #[oai(path = "/v1/crm/pipelines/:pipeline/stages", method = "post", operation_id = "addStage")]
    async fn add(&self, command: Command<StageAddition>, pipeline: Path<Uuid>) -> Done<StageAdded> {
        let StageAddition { name, probability, rotten_after_days, index } = command.body;
        let stage = StageBody { name, probability, rotten_after_days }.into();
        let add = AddStage { pipeline: id(&pipeline), index: index.map(|index| index.0), stage };
        let done = self.runtime.executor.execute(&command.request, &add).await?;
        Ok(Changed::new(SERVICE, done, |stage| StageAdded { id: pipeline.0, stage: stage.uuid() }))
    }

    /// Put a pipeline's stages in another order
    ///
    /// Needs the permission `crm:pipeline:write`.
    #[oai(path = "/v1/crm/pipelines/:pipeline/reorder-stages", method = "post", operation_id = "reorderStages")]
    async fn reorder(&self, command: Command<StageOrder>, pipeline: Path<Uuid>) -> Done {
        let reorder = ReorderStages { pipeline: id(&pipeline), order: command.body.order };
        change(&self.runtime, &command.request, pipeline.0, reorder).await
    }

    /// Change a stage's name, probability and patience
    ///
    /// Needs the permission `crm:pipeline:write`.
    #[oai(path = "/v1/crm/pipelines/:pipeline/stages/:stage/change", method = "post", operation_id = "changeStage")]
    async fn change(&self, command: Command<StageBody>, pipeline: Path<Uuid>, stage: Path<Uuid>) -> Done {
        let changed = ChangeStage { pipeline: id(&pipeline), stage: id(&stage), fields: command.body.into() };
        change(&self.runtime, &command.request, pipeline.0, changed).await
    }

    /// Let nothing move into a stage any more
    ///
    /// What is in it stays there until it is moved. Needs the permission `crm:pipeline:write`.
    #[oai(path = "/v1/crm/pipelines/:pipeline/stages/:stage/retire", method = "post", operation_id = "retireStage")]
    async fn retire(&self, command: Command<Empty>, pipeline: Path<Uuid>, stage: Path<Uuid>) -> Done {
        let retire = RetireStage { pipeline: id(&pipeline), stage: id(&stage) };
        change(&self.runtime, &command.request, pipeline.0, retire).await
    }

    /// Take away a stage that no opportunity was ever in
    ///
    /// One that an opportunity is or was in can only be retired. Needs the permission `crm:pipeline:write`.
    #[oai(path = "/v1/crm/pipelines/:pipeline/stages/:stage/remove", method = "post", operation_id = "removeStage")]
    async fn remove(&self, command: Command<Empty>, pipeline: Path<Uuid>, stage: Path<Uuid>) -> Done {
        let remove = RemoveStage { pipeline: id(&pipeline), stage: id(&stage) };
        change(&self.runtime, &command.request, pipeline.0, remove).await
    }
}
