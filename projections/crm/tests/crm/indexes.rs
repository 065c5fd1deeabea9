//! Queries use indexes under row level security: they read about as much as they return, not the whole tenant or table.

use crm_aggregates::{
    ContactCreated, ContactDetails, ContactEvent, ImportId, LeadCaptured, LeadEvent, LeadQualified, LeadSource,
    OpportunityEvent, OpportunityWon, StageId,
};
use crm_projections::contacts::{self, ContactFilter, ContactOrder};
use crm_projections::opportunities::{Span, board, count_moved, moved, movement_sums};
use crm_projections::{AsOf, leads};
use kernel::TenantId;
use projector::Transaction;
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::deals::{money, opened, pipeline};
use crate::leads::captured;
use crate::stage::Stage;
use crate::story::{Story, day, id};

/// The statistics of this transaction for a table: sequential scans, index scans, rows fetched by indexes.
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
    let span = Span { pipeline, from: day(700), to: Some(day(710)), known: None };
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
async fn a_funnel_as_of_a_day_reads_the_history_only_of_imported_leads_that_changed_after_it() {
    let (mut story, import) = (Story::new(), ImportId::new(id()));
    for n in 0..1_000 {
        let lead = id();
        let import = (n % 100 == 0).then_some(import);
        story.add::<LeadEvent>(lead, day(n), LeadCaptured { import, ..captured("Lead", LeadSource::Event, None) });
        story.add::<LeadEvent>(lead, day(n + 5), LeadQualified { note: None });
    }
    let stage = applied(&story).await;
    let mut tables = stage.read(story.tenant).await;
    let funnel = leads::funnel(&mut tables, story.tenant, day(0), day(2_000), AsOf::at(day(903))).await.unwrap();
    assert_eq!((funnel[0].captured, funnel[0].qualified), (904, 899));
    let (full, by_index, rows) = scans(&mut tables, "lead_history").await;
    assert_eq!((full, by_index, rows), (0, 1, 2), "both versions of the lead that was imported three days before");
}

#[tokio::test]
async fn a_lead_of_an_import_is_found_by_an_index() {
    let (mut story, import) = (Story::new(), ImportId::new(id()));
    for n in 0..2_000 {
        let import = (n % 500 == 499).then_some(import);
        story.add::<LeadEvent>(id(), day(n), LeadCaptured { import, ..captured("Lead", LeadSource::Event, None) });
    }
    let stage = applied(&story).await;
    for (import, found) in [(import.uuid(), 1), (id(), 0)] {
        let mut tables = stage.read(story.tenant).await;
        assert_eq!(leads::of_import(&mut tables, story.tenant, import).await.unwrap().iter().count(), found);
        let (full, by_index, rows) = scans(&mut tables, "lead").await;
        assert!(full == 0 && by_index > 0 && rows <= 4, "{full} {by_index} {rows}");
    }
}

/// Runs a query for a tenant and returns how many rows it read from all tables.
macro_rules! rows_read {
    ($stage:expr, $tenant:expr, $question:path $(, $argument:expr)*) => {{
        let mut tables = $stage.read($tenant).await;
        $question(&mut tables, $tenant $(, $argument)*).await.unwrap();
        let read = "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_xact_user_tables
                    WHERE schemaname = 'crm'";
        let read: i64 = sqlx::query_scalar(read).fetch_one(&mut *tables).await.unwrap();
        (stringify!($question), read)
    }};
}

/// A tenant with this many deals, each won five days later, this many contacts, whose names share two words alternately, and this many
/// leads, each qualified five days later.
fn busy(count: i64) -> (Story, Uuid) {
    let mut story = Story::new();
    let (pipeline, stages) = pipeline(&mut story, &[("First", 10)]);
    for n in 0..count {
        let (deal, last_stage) = (id(), StageId::new(stages[0]));
        story.add::<OpportunityEvent>(deal, day(n), opened(pipeline, stages[0], money(1)));
        story.add::<OpportunityEvent>(deal, day(n + 5), OpportunityWon { last_stage });
        let name = format!("{} Number{n}", if n % 2 == 0 { "Left Both" } else { "Right Both" });
        let details = ContactDetails { name: name.into(), ..ContactDetails::default() };
        let created = ContactCreated { details, account: None, owner: None, lead: None };
        story.add::<ContactEvent>(id(), day(n), created);
        let lead = id();
        story.add::<LeadEvent>(lead, day(n), captured("Lead", LeadSource::Event, None));
        story.add::<LeadEvent>(lead, day(n + 5), LeadQualified { note: None });
    }
    (story, pipeline)
}

#[tokio::test]
async fn questions_of_a_tenant_with_and_without_statistics_read_each_row_a_few_times() {
    let count = 1_000;
    for small_ones in [0, 50] {
        let (mut story, first) = busy(count);
        for _ in 0..small_ones {
            story.events.extend(busy(10).0.events);
        }
        let stage = applied(&story).await;
        // Statistics include only these tenants, so Postgres assumes that another one has no rows.
        let (other, pipeline) = busy(count);
        stage.apply(&other.events, 5_000).await.unwrap();
        for (tenant, pipeline) in [(story.tenant, first), (other.tenant, pipeline)] {
            asks(&stage, tenant, pipeline, count).await;
        }
    }
}

async fn asks(stage: &Stage, tenant: TenantId, pipeline: Uuid, count: i64) {
    let span = Span { pipeline, from: day(100), to: None, known: None };
    let search = |text: &str| ContactFilter { search: Some(text.to_owned()), ..ContactFilter::default() };
    for (question, read) in [
        rows_read!(stage, tenant, movement_sums, span),
        rows_read!(stage, tenant, count_moved, span, None),
        rows_read!(stage, tenant, moved, span, None, None, 100),
        rows_read!(stage, tenant, board, pipeline, AsOf::at(day(500))),
        rows_read!(stage, tenant, leads::funnel, day(0), day(count), AsOf::at(day(500))),
        rows_read!(
            stage,
            tenant,
            leads::funnel,
            day(0),
            day(count),
            AsOf { at: Some(day(500)), known: Some(day(700)) }
        ),
        rows_read!(stage, tenant, contacts::count, &search("left both")),
        rows_read!(stage, tenant, contacts::count, &search("left right")),
        rows_read!(stage, tenant, contacts::list, &search("left both"), ContactOrder::Name, None, 20),
        rows_read!(stage, tenant, contacts::list, &search("left right"), ContactOrder::Newest, None, 20),
        rows_read!(stage, tenant, contacts::list, &search("both number1"), ContactOrder::Newest, None, 20),
    ] {
        // Three words of each name, of both tenants, twice, and the rows: not each with each.
        assert!(read <= 80 * count, "{question} read {read} rows of {count}");
    }
}
