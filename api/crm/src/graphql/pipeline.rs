//! Pipelines in GraphQL.

use crm_projections::pipelines::{self, PipelineRow, StageView};
use face::graphql::{Context, Node, int, unreadable};
use juniper::{FieldResult, GraphQLObject, graphql_object};
use kernel::Service;
use uuid::Uuid;

use crate::SERVICE;

/// The permission to read pipelines.
pub(crate) const READ: &str = "crm:pipeline:read";

/// A pipeline: the ordered stages through which opportunities move.
#[derive(Clone, Debug)]
pub struct Pipeline(PipelineRow);

/// A stage of a pipeline.
#[derive(Clone, Debug, GraphQLObject)]
pub struct Stage {
    /// The stage's id.
    pub id: Uuid,
    /// Its name, unique in the pipeline.
    pub name: String,
    /// Probability that a deal in this stage is won, in per cent: 0 to 100.
    pub probability: i32,
    /// After this number of days without a change, a deal in this stage counts as rotten; `null`: deals never do.
    pub rotten_after_days: Option<i32>,
    /// Whether it is retired: no deal can move into it any more.
    pub retired: bool,
}

impl From<&StageView> for Stage {
    fn from(view: &StageView) -> Self {
        Self {
            id: view.stage.id.uuid(),
            name: view.stage.name.clone(),
            probability: view.stage.probability.into(),
            rotten_after_days: view.stage.rotten_after_days.map(Into::into),
            retired: view.retired,
        }
    }
}

/// A pipeline: the ordered stages through which opportunities move.
#[graphql_object(context = Context)]
impl Pipeline {
    /// The pipeline's id.
    fn id(&self) -> Uuid {
        self.0.pipeline_id
    }

    /// The pipeline's version, for `If-Match`.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// Its name, unique in the tenant.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Its stages, in order.
    fn stages(&self) -> Vec<Stage> {
        self.0.stages.0.iter().map(Stage::from).collect()
    }
}

pub(crate) async fn list(context: &Context) -> FieldResult<Vec<Pipeline>> {
    context.require(READ)?;
    let mut tables = context.reader(SERVICE).await?;
    let rows = pipelines::list(&mut tables, context.caller().tenant()).await;
    Ok(rows.map_err(unreadable)?.into_iter().map(Pipeline).collect())
}

impl Node for Pipeline {
    type Row = PipelineRow;

    const SERVICE: Service = SERVICE;
    const READ: &'static str = READ;

    fn new(row: PipelineRow) -> Self {
        Self(row)
    }
}

impl Pipeline {
    /// The stage of this pipeline with this id.
    pub(crate) fn stage(&self, id: Uuid) -> Option<Stage> {
        self.0.stage(id).map(Stage::from)
    }
}
