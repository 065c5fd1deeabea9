//! Pipelines: set up, rename. (Their stages: `stage.rs`.)

use crm_aggregates::{MAX_STAGES, Pipeline, StageId};
use crm_commands::{CreatePipeline, RenamePipeline};
use face::{Authenticated, Changed, Command, Example, Runtime, example};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Tag;
use super::form;
use super::opportunity::NewName;
use super::stage::StageBody;
use crate::SERVICE;
use face::operation::{ChangeResult, CreateResult, ReadResult, change, find, id};

/// The operations on pipelines.
pub struct Pipelines {
    runtime: Runtime,
}

impl Pipelines {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }
}

/// A new pipeline.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"name": "Sales", "stages": [{"name": "Discovery", "probability": 20}, {"name": "Offer", "probability": 60}]}))]
struct NewPipeline {
    /// Its name, unique in the tenant.
    #[schemars(with = "form::Name")]
    name: String,
    /// Its stages in order: 1 to 50.
    #[schemars(length(min = 1, max = MAX_STAGES))]
    stages: Vec<StageBody>,
}

/// The ids of a new pipeline and its stages.
#[derive(Debug, Serialize, JsonSchema)]
struct PipelineMade {
    /// The pipeline's id.
    id: Uuid,
    /// The ids of its stages, in order.
    stages: Vec<Uuid>,
}

/// A pipeline.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Pipeline")]
struct PipelineResource {
    /// Its id.
    id: Uuid,
    /// Its name.
    name: String,
    /// Its stages, in order.
    stages: Vec<StageResource>,
}

/// A stage of a pipeline.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PipelineStage")]
struct StageResource {
    /// Its id.
    id: Uuid,
    /// Its name.
    name: String,
    /// Probability that a deal in this stage is won, in per cent: 0 to 100.
    probability: u8,
    /// After this number of days without a change, a deal in this stage counts as rotten. If absent, deals never do.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotten_after_days: Option<u16>,
    /// Whether it is retired: no deal can move into it any more.
    retired: bool,
}

impl Example for PipelineMade {
    fn example() -> Self {
        Self { id: example::id(5), stages: vec![example::id(6), example::id(7)] }
    }
}

impl Example for PipelineResource {
    fn example() -> Self {
        let stage = |number, name: &str, probability, rotten_after_days| StageResource {
            id: example::id(number),
            name: name.to_owned(),
            probability,
            rotten_after_days,
            retired: false,
        };
        let stages = vec![stage(6, "Discovery", 20, Some(30)), stage(7, "Offer", 60, None)];
        Self { id: example::id(5), name: "Sales".to_owned(), stages }
    }
}

#[OpenApi(tag = "Tag::Pipelines")]
impl Pipelines {
    /// Create a pipeline
    ///
    /// Needs the permission `crm:pipeline:write`.
    #[oai(path = "/v1/crm/pipelines", method = "post", operation_id = "createPipeline")]
    async fn create(&self, command: Command<NewPipeline>) -> CreateResult<PipelineMade> {
        let NewPipeline { name, stages } = command.body;
        let create = CreatePipeline { name, stages: stages.into_iter().map(Into::into).collect() };
        let done = self.runtime.executor.execute(&command.request, &create).await?;
        let location = format!("/v1/crm/pipelines/{}", done.answer.pipeline);
        let made = Changed::new(SERVICE, done, |ids| PipelineMade {
            id: ids.pipeline.uuid(),
            stages: ids.stages.into_iter().map(StageId::uuid).collect(),
        });
        Ok(made.created(location))
    }

    /// Get a pipeline's current state
    ///
    /// Needs the permission `crm:pipeline:read`.
    #[oai(path = "/v1/crm/pipelines/:pipeline", method = "get", operation_id = "getPipeline")]
    async fn get(&self, Authenticated(caller): Authenticated, pipeline: Path<Uuid>) -> ReadResult<PipelineResource> {
        find(&self.runtime, &caller, "crm:pipeline:read", pipeline.0, |state: &Pipeline| PipelineResource {
            id: pipeline.0,
            name: state.name.clone(),
            stages: state
                .stages
                .iter()
                .map(|stage| StageResource {
                    id: stage.id.uuid(),
                    name: stage.name.clone(),
                    probability: stage.probability,
                    rotten_after_days: stage.rotten_after_days,
                    retired: state.retired.contains(&stage.id),
                })
                .collect(),
        })
        .await
    }

    /// Rename a pipeline
    ///
    /// Needs the permission `crm:pipeline:write`.
    #[oai(path = "/v1/crm/pipelines/:pipeline/rename", method = "post", operation_id = "renamePipeline")]
    async fn rename(&self, command: Command<NewName>, pipeline: Path<Uuid>) -> ChangeResult {
        let rename = RenamePipeline { pipeline: id(&pipeline), name: command.body.name };
        change(&self.runtime, &command.request, pipeline.0, rename).await
    }
}
