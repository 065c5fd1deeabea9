//! Stages of pipelines: add, change, reorder, retire, reactivate, remove.

use crm_aggregates::{MAX_STAGES, StageId};
use crm_commands::{AddStage, ChangeStage, ReactivateStage, RemoveStage, ReorderStages, RetireStage, StageFields};
use face::{Changed, Command, Empty, Example, Runtime, Whole, example};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Tag;
use super::form;
use crate::SERVICE;
use face::operation::{ChangeResult, change, id};

/// The operations on stages.
pub struct Stages {
    runtime: Runtime,
}

impl Stages {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }
}

/// All properties of a stage.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewPipelineStage")]
#[schemars(example = serde_json::json!({"name": "Offer", "probability": 60, "rotten_after_days": 30}))]
pub struct StageBody {
    /// Its name, unique in the pipeline.
    #[schemars(with = "form::Name")]
    name: String,
    /// Probability that a deal in this stage is won, in per cent: 0 to 100.
    probability: Whole<u8, 0, 100>,
    /// After this number of days without a change, a deal in this stage counts as rotten: 1 to 3650. If omitted, deals never
    /// do.
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

/// A stage to add to a pipeline.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"name": "Negotiation", "probability": 80}))]
struct StageAddition {
    /// Its name, unique in the pipeline.
    #[schemars(with = "form::Name")]
    name: String,
    /// Probability that a deal in this stage is won, in per cent: 0 to 100.
    probability: Whole<u8, 0, 100>,
    /// After this number of days without a change, a deal in this stage counts as rotten: 1 to 3650. If omitted, deals never
    /// do.
    #[serde(default)]
    rotten_after_days: Option<Whole<u16, 1, 3650>>,
    /// The position in the order of stages; 0 is the first. If omitted, the stage is added last.
    #[serde(default)]
    index: Option<Whole<u32, 0, 50>>,
}

/// A new order of stages.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"order": ["0197a8a0-0000-7000-8000-000000000002", "0197a8a0-0000-7000-8000-000000000001"]}))]
struct StageOrder {
    /// The ids of all stages of the pipeline, each once.
    #[schemars(length(min = 1, max = MAX_STAGES))]
    order: Vec<StageId>,
}

/// A stage that was added.
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
    /// Add a stage to a pipeline
    ///
    /// Needs the permission `crm:pipeline:write`.
    #[oai(path = "/v1/crm/pipelines/:pipeline/stages", method = "post", operation_id = "addStage")]
    async fn add(&self, command: Command<StageAddition>, pipeline: Path<Uuid>) -> ChangeResult<StageAdded> {
        let StageAddition { name, probability, rotten_after_days, index } = command.body;
        let stage = StageBody { name, probability, rotten_after_days }.into();
        let add = AddStage { pipeline: id(&pipeline), index: index.map(|index| index.0), stage };
        let done = self.runtime.executor.execute(&command.request, &add).await?;
        Ok(Changed::new(SERVICE, done, |stage| StageAdded { id: pipeline.0, stage: stage.uuid() }))
    }

    /// Reorder the stages of a pipeline
    ///
    /// Needs the permission `crm:pipeline:write`.
    #[oai(path = "/v1/crm/pipelines/:pipeline/reorder-stages", method = "post", operation_id = "reorderStages")]
    async fn reorder(&self, command: Command<StageOrder>, pipeline: Path<Uuid>) -> ChangeResult {
        let reorder = ReorderStages { pipeline: id(&pipeline), order: command.body.order };
        change(&self.runtime, &command.request, pipeline.0, reorder).await
    }

    /// Change a stage
    ///
    /// Replaces its name, its probability and the number of days after which a deal in it counts as rotten. Needs the permission
    /// `crm:pipeline:write`.
    #[oai(path = "/v1/crm/pipelines/:pipeline/stages/:stage/change", method = "post", operation_id = "changeStage")]
    async fn change(&self, command: Command<StageBody>, pipeline: Path<Uuid>, stage: Path<Uuid>) -> ChangeResult {
        let changed = ChangeStage { pipeline: id(&pipeline), stage: id(&stage), fields: command.body.into() };
        change(&self.runtime, &command.request, pipeline.0, changed).await
    }

    /// Retire a stage
    ///
    /// No deal can move into a retired stage. Deals that are in it stay there until they are moved. It keeps its name and its
    /// place in the order, and counts towards the 50 stages that a pipeline can have. Needs the permission
    /// `crm:pipeline:write`.
    #[oai(path = "/v1/crm/pipelines/:pipeline/stages/:stage/retire", method = "post", operation_id = "retireStage")]
    async fn retire(&self, command: Command<Empty>, pipeline: Path<Uuid>, stage: Path<Uuid>) -> ChangeResult {
        let retire = RetireStage { pipeline: id(&pipeline), stage: id(&stage) };
        change(&self.runtime, &command.request, pipeline.0, retire).await
    }

    /// Reactivate a retired stage
    ///
    /// Deals can move into it again. Needs the permission `crm:pipeline:write`.
    #[oai(
        path = "/v1/crm/pipelines/:pipeline/stages/:stage/reactivate",
        method = "post",
        operation_id = "reactivateStage"
    )]
    async fn reactivate(&self, command: Command<Empty>, pipeline: Path<Uuid>, stage: Path<Uuid>) -> ChangeResult {
        let reactivate = ReactivateStage { pipeline: id(&pipeline), stage: id(&stage) };
        change(&self.runtime, &command.request, pipeline.0, reactivate).await
    }

    /// Remove a stage that was never used
    ///
    /// A stage in which an opportunity is or ever was cannot be removed; it can only be retired. Needs the permission
    /// `crm:pipeline:write`.
    #[oai(path = "/v1/crm/pipelines/:pipeline/stages/:stage/remove", method = "post", operation_id = "removeStage")]
    async fn remove(&self, command: Command<Empty>, pipeline: Path<Uuid>, stage: Path<Uuid>) -> ChangeResult {
        let remove = RemoveStage { pipeline: id(&pipeline), stage: id(&stage) };
        change(&self.runtime, &command.request, pipeline.0, remove).await
    }
}
