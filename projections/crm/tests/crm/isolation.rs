//! Tenants do not see each other, whatever a query asks.

use crm_aggregates::{LeadEvent, LeadSource, OpportunityEvent};
use crm_projections::leads::LeadRow;
use crm_projections::opportunities::board;
use crm_projections::{AsOf, leads, projections};

use crate::deals::{money, opened, pipeline};
use crate::leads::captured;
use crate::stage::Stage;
use crate::story::{Story, day, id};

#[tokio::test]
async fn a_query_that_forgets_the_tenant_or_names_another_still_sees_its_own_rows_only() {
    let stage = Stage::fresh().await;
    let mut theirs = Story::new();
    let (pipeline, stages) = pipeline(&mut theirs, &[("First", 10)]);
    let lead = id();
    theirs.add::<LeadEvent>(lead, day(1), captured("Ada", LeadSource::Website, None));
    theirs.add::<OpportunityEvent>(id(), day(1), opened(pipeline, stages[0], money(100)));
    stage.apply(&theirs.events, 100).await.unwrap();

    let ours = testbed::tenant();
    let mut tables = stage.read(ours).await;
    for table in projections().iter().flat_map(|projection| projection.tables()) {
        let count: i64 =
            sqlx::query_scalar(&format!("SELECT count(*) FROM {table}")).fetch_one(&mut *tables).await.unwrap();
        assert_eq!(count, 0, "{table}");
    }
    assert_eq!(leads::find::<LeadRow>(&mut tables, theirs.tenant, &[lead]).await.unwrap(), []);
    assert_eq!(leads::find::<LeadRow>(&mut tables, ours, &[lead]).await.unwrap(), []);
    assert_eq!(board(&mut tables, theirs.tenant, pipeline, AsOf::at(day(2))).await.unwrap(), None);
}
