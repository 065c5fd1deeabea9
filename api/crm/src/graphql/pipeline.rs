//! Pipelines in GraphQL.

use crm_projections::pipelines::{self, PipelineRow, StageView};
use face::graphql::{Context, Fetching, Node, int, unreadable};
use juniper::{FieldResult, GraphQLObject, graphql_object};
use kernel::{Service, TenantId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::SERVICE;

/// What one needs to see pipelines.
pub(crate) const READ: &str = "crm:pipeline:read";

/// The ordered stages that opportunities go through.
#[derive(Clone, Debug)]
pub struct Pipeline(PipelineRow);

/// A stage of a pipeline.
#[derive(Clone, Debug, GraphQLObject)]
pub struct Stage {
    /// The stage's id.
    pub id: Uuid,
    /// Unique in its pipeline.
    pub name: String,
    /// How likely a deal in this stage is won: 0 to 100 per cent.
    pub probability: i32,
    /// After so many days without a change a deal in this stage is rotten; `null`: never.
    pub rotten_after_days: Option<i32>,
    /// Nothing moves into it any more.
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

/// The ordered stages that opportunities go through.
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

    /// Unique in the tenant.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// In their order.
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
    const SERVICE: Service = SERVICE;
    const READ: &'static str = READ;

    fn find<'a>(tables: &'a mut PgConnection, tenant: TenantId, ids: &'a [Uuid]) -> Fetching<'a, Uuid, Self> {
        Box::pin(async move {
            let rows = pipelines::find(tables, tenant, ids).await?;
            Ok(rows.into_iter().map(|row| (row.pipeline_id, Self(row))).collect())
        })
    }
}

impl Pipeline {
    /// A stage of it.
    pub(crate) fn stage(&self, id: Uuid) -> Option<Stage> {
        self.0.stage(id).map(Stage::from)
    }
}
