//! Row level security leaves the indexes usable: a question reads what it answers, not the whole tenant or table.

use crm_aggregates::{ContactCreated, ContactDetails, ContactEvent, OpportunityEvent, OpportunityWon, StageId};
use crm_projections::AsOf;
use crm_projections::contacts::{self, ContactFilter, ContactOrder};
use crm_projections::opportunities::{Span, board, moved, movement_sums};
use projector::Transaction;
use sqlx::{Connection, Executor, PgConnection};

use crate::deals::{money, opened, pipeline};
use crate::stage::Stage;
use crate::story::{Story, day, id};

/// What this transaction did with a table so far: full scans, index scans, rows that indexes led to.
async fn scans(tables: &mut Transaction, table: &str) -> (i64, i64, i64) {
    sqlx::query_as(
        "SELECT seq_scan, idx_scan, idx_tup_fetch FROM pg_stat_xact_user_tables
         WHERE schemaname = 'crm' AND relname = $1",
    )
    .bind(table)
    .fetch_one(&mut **tables)
    .await
    .unwrap()
}

async fn applied(story: &Story) -> Stage {
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 5_000).await.unwrap();
    let mut connection = PgConnection::connect_with(&stage.database.superuser()).await.unwrap();
    connection.execute("ANALYZE").await.unwrap();
    stage
}

#[tokio::test]
async fn a_search_reads_the_records_it_finds() {
    let mut story = Story::new();
    for n in 0..3_000 {
        let details = ContactDetails { name: format!("Ada Number{n}").into(), ..ContactDetails::default() };
        let created = ContactCreated { details, account: None, owner: None, lead: None };
        story.add::<ContactEvent>(id(), day(1), created);
    }
    let stage = applied(&story).await;
    let mut tables = stage.read(story.tenant).await;
    let filter = ContactFilter { search: Some("number271".to_owned()), ..ContactFilter::default() };
    let found = contacts::list(&mut tables, story.tenant, &filter, ContactOrder::Name, None, 20).await.unwrap();
    assert_eq!(found.len(), 11, "271 and 2710 to 2719");
    for table in ["contact", "contact_word"] {
        let (full, by_index, rows) = scans(&mut tables, table).await;
        assert!(full == 0 && by_index > 0 && rows <= 30, "{table}: {full} {by_index} {rows}");
    }
}

#[tokio::test]
async fn a_board_and_a_movement_read_the_deals_of_their_time() {
    let mut story = Story::new();
    let (pipeline, stages) = pipeline(&mut story, &[("First", 10)]);
    for n in 0..1_500 {
        let (deal, last_stage) = (id(), StageId::new(stages[0]));
        story.add::<OpportunityEvent>(deal, day(n), opened(pipeline, stages[0], money(1)));
        story.add::<OpportunityEvent>(deal, day(n + 5), OpportunityWon { last_stage });
    }
    let stage = applied(&story).await;
    for at in [AsOf::TODAY, AsOf::at(day(1_480))] {
        let mut tables = stage.read(story.tenant).await;
        board(&mut tables, story.tenant, pipeline, at).await.unwrap().unwrap();
        let (full, by_index, rows) = scans(&mut tables, "opportunity_history").await;
        assert!(full == 0 && by_index > 0 && rows <= 60, "{at:?}: {full} {by_index} {rows}");
    }
    let span = Span { pipeline, from: day(700), to: Some(day(710)) };
    let mut tables = stage.read(story.tenant).await;
    let deals = moved(&mut tables, story.tenant, span, None, None, 100).await.unwrap();
    assert_eq!(deals.len(), 15, "ten opened, ten won, five of them both");
    let (full, by_index, rows) = scans(&mut tables, "opportunity_history").await;
    assert!(full == 0 && by_index > 0 && rows <= 100, "{full} {by_index} {rows}");
    let mut tables = stage.read(story.tenant).await;
    let sums = movement_sums(&mut tables, story.tenant, span).await.unwrap();
    assert_eq!(sums.iter().map(|sum| sum.count).sum::<i64>(), 20);
    let (full, by_index, rows) = scans(&mut tables, "opportunity_history").await;
    assert!(full == 0 && by_index > 0 && rows <= 100, "{full} {by_index} {rows}");
}

#[tokio::test]
async fn a_movement_of_a_tenant_without_statistics_reads_each_version_once() {
    let deals = |count: i64| {
        let mut story = Story::new();
        let (pipeline, stages) = pipeline(&mut story, &[("First", 10)]);
        for n in 0..count {
            let (deal, last_stage) = (id(), StageId::new(stages[0]));
            story.add::<OpportunityEvent>(deal, day(n), opened(pipeline, stages[0], money(1)));
            story.add::<OpportunityEvent>(deal, day(n + 5), OpportunityWon { last_stage });
        }
        (story, pipeline)
    };
    let stage = applied(&deals(1_500).0).await;
    let (second, pipeline) = deals(1_000);
    stage.apply(&second.events, 5_000).await.unwrap();
    let span = Span { pipeline, from: day(100), to: None };
    let mut tables = stage.read(second.tenant).await;
    let sums = movement_sums(&mut tables, second.tenant, span).await.unwrap();
    assert!(sums.iter().map(|sum| sum.count).sum::<i64>() > 1_000);
    let (full, by_index, rows) = scans(&mut tables, "opportunity_history").await;
    assert!(full == 0 && by_index > 0 && rows <= 5_000, "{full} {by_index} {rows}");
}
