//! Import of leads from CSV files: valid rows are imported once; invalid ones are reported.

use std::collections::BTreeMap;

use crm_aggregates::{ImportBatch, ImportId, Lead, LeadId, LeadSource, LeadStatus};
use crm_commands::{BACKDATE, IMPORT, LeadImport, RequestImportRevert, WithdrawImportRevert, import_leads, importer};
use executor::{Done, Request};
use futures::future::join_all;
use importing::{ImportPlace, ImportReport, Importing, MOST_ROWS, MOST_ROWS_OF_A_JOB, Pace, RowError, check, dry_run};
use kernel::{Kind, Position, Refusal, Role};

use super::support::{World, kept_address};

const GOOD: &str = "name,company,email,source,owner\n\
                    Ada Lovelace,Engines Ltd,ada@example.com,referral,\n\
                    \"Hopper, Grace\",Navy,grace@example.com,,grace\n";

fn options() -> LeadImport {
    LeadImport { source: LeadSource::Campaign, ..LeadImport::default() }
}

impl World {
    async fn import(&self, csv: &str) -> Done<ImportReport> {
        import_leads(&self.executor, &self.request, csv.as_bytes(), &options()).await.unwrap()
    }

    async fn import_refused(&self, request: &Request, csv: &[u8], options: &LeadImport) -> Refusal {
        let before = self.head().await;
        let refusal = import_leads(&self.executor, request, csv, options).await.unwrap_err();
        assert_eq!(self.head().await, before, "a refusal writes nothing");
        refusal
    }

    async fn imported(&self) -> Vec<Lead> {
        let events = self.store.read_after(Position::START, 10_000).await.unwrap();
        let mut leads = Vec::new();
        for event in events.iter().filter(|event| event.event_type == "crm.lead.captured") {
            leads.push((*self.state::<Lead>(&event.aggregate_id).await).clone());
        }
        leads
    }
}

fn many(rows: usize) -> String {
    (0..rows).fold("name,email\n".to_owned(), |csv, n| csv + &format!("Lead {n},lead{n}@example.com\n"))
}

fn error(line: u64, column: Option<&str>, code: &str) -> (u64, Option<String>, String) {
    (line, column.map(str::to_owned), code.to_owned())
}

fn said(errors: &[RowError]) -> Vec<(u64, Option<String>, String)> {
    errors.iter().map(|error| (error.line, error.column.clone(), error.code.clone())).collect()
}

#[tokio::test]
async fn rows_become_leads_and_the_import_is_on_record() {
    let world = World::new().await;
    let done = world.import(GOOD).await;
    let ImportReport { import_id, rows, taken, refused, errors, error_count } = done.answer;
    assert_eq!((rows, taken, refused, errors.len(), error_count), (2, 2, 0, 0, 0));
    assert_eq!((done.position, done.repeated), (Position(3), false));
    let [ada, grace] = &world.imported().await[..] else { panic!("two leads") };
    assert_eq!(
        (ada.details.name.reveal().as_str(), ada.source, ada.status),
        ("Ada Lovelace", LeadSource::Referral, LeadStatus::New)
    );
    assert_eq!((grace.details.name.reveal().as_str(), grace.source), ("Hopper, Grace", LeadSource::Campaign));
    assert_eq!((grace.status, grace.owner.as_deref()), (LeadStatus::Assigned, Some("grace")));
    let batch = world.state::<ImportBatch>(import_id.unwrap()).await;
    assert_eq!(*batch, ImportBatch { rows: 2, taken: 2, refused: 0, ..ImportBatch::default() });
    let [captured, ..] = &world.store.read_after(Position::START, 1).await.unwrap()[..] else { panic!("an event") };
    let payload: serde_json::Value = serde_json::from_slice(&captured.payload).unwrap();
    assert_eq!(payload["import"], import_id.unwrap().to_string());
}

#[tokio::test]
async fn bad_rows_are_reported_and_the_rest_is_taken() {
    let world = World::new().await;
    let csv = "Name,email,phone\n\
               Ada,ada@example.com,\n\
               ,nobody,\n\
               Grace\n\
               =cmd(),,\n\
               \"two\nlines\",,\n\
               \"Bro\"ken,,\n\
               Zofie,,+420123456789\n";
    let report = world.import(csv).await.answer;
    assert_eq!((report.rows, report.taken, report.refused, report.error_count), (7, 2, 5, 6));
    let expected = [
        error(3, Some("Name"), "empty"),
        error(3, Some("email"), "email"),
        error(4, None, "ragged_row"),
        error(5, Some("Name"), "formula"),
        error(6, Some("Name"), "control_character"),
        error(8, None, "broken_quotes"),
    ];
    assert_eq!(said(&report.errors), expected);
    assert_eq!(world.imported().await.len(), 2);
}

#[tokio::test]
async fn an_address_comes_in_by_columns_under_the_names_that_files_have() {
    let world = World::new().await;
    let csv = "Name,Street,City,State,ZIP,Country\n\
               Ada,\"12 St James's Square\nFlat 3\",London,,SW1Y 4JH,gb\n\
               Grace,,,,,us\n\
               Joan,1 Main Street,,\"O\nR\",123456789012345678901,Oregon\n\
               Zofie,=A1,,,,\n";
    let report = world.import(csv).await.answer;
    assert_eq!((report.rows, report.taken, report.refused), (4, 2, 2));
    let expected = [
        error(5, Some("Country"), "country"),
        error(5, Some("State"), "control_character"),
        error(5, Some("ZIP"), "length"),
        error(7, Some("Street"), "formula"),
    ];
    assert_eq!(said(&report.errors), expected);
    let [ada, grace] = &world.imported().await[..] else { panic!("two leads") };
    assert_eq!(ada.details.address.as_ref().unwrap().reveal(), &kept_address());
    assert_eq!((grace.details.country.as_deref(), &grace.details.address), (Some("US"), &None));
}

#[tokio::test]
async fn a_dry_run_reports_the_same_and_writes_nothing() {
    let world = World::new().await;
    let csv = "name,email\nAda,ada@example.com\n,x\n";
    let done = dry_run(&world.executor, &world.keyed("dry"), csv.as_bytes(), &options()).await.unwrap();
    assert_eq!(world.head().await, Position::START);
    assert_eq!((done.answer.import_id, done.answer.taken, done.answer.refused), (None, 1, 1));
    // Nor is its key used up.
    let wet = import_leads(&world.executor, &world.keyed("dry"), csv.as_bytes(), &options()).await.unwrap();
    assert!(!wet.repeated);
    assert_eq!(ImportReport { import_id: None, ..wet.answer }, done.answer);
}

#[tokio::test]
async fn rows_that_a_spreadsheet_saved_empty_are_passed_over() {
    let world = World::new().await;
    let csv = "name,email\nAda,ada@example.com\n,\n,x\n , \n,\n";
    let dry = dry_run(&world.executor, &world.request, csv.as_bytes(), &options()).await.unwrap().answer;
    let report = world.import(csv).await.answer;
    assert_eq!((report.rows, report.taken, report.refused), (2, 1, 1));
    assert_eq!(said(&report.errors).iter().map(|error| error.0).collect::<Vec<_>>(), [4, 4], "name and address");
    assert_eq!(ImportReport { import_id: None, ..report }, dry);
    assert_eq!(world.imported().await.len(), 1);
    let nothing = world.import_refused(&world.request, b"name,email\n,\n,\n", &options()).await;
    assert_eq!(nothing.code(), "csv_empty");
}

#[tokio::test]
async fn names_and_addresses_of_a_file_are_composed() {
    let world = World::new().await;
    world.import("name,email\nZoe\u{308},zoe\u{308}@example.com\n").await;
    let details = world.imported().await.remove(0).details;
    assert_eq!(details.name.reveal(), "Zo\u{eb}");
    assert_eq!(details.email.unwrap().reveal(), "zo\u{eb}@example.com");
}

#[tokio::test]
async fn a_file_of_bad_rows_only_is_refused_and_leaves_nothing() {
    let world = World::new().await;
    let csv = "name\n=1\n=2\n".as_bytes();
    let refusal = import_leads(&world.executor, &world.keyed("bad"), csv, &options()).await.unwrap_err();
    assert_eq!(refusal.code(), "csv_no_row_taken");
    assert_eq!(refusal.extra()["row_errors"].as_array().unwrap().len(), 2);
    let dry = dry_run(&world.executor, &world.request, csv, &options()).await.unwrap_err();
    assert_eq!((dry.code(), dry.extra()), (refusal.code(), refusal.extra()), "a dry run says what the import would");
    assert_eq!(world.head().await, Position::START);
}

#[tokio::test]
async fn errors_are_counted_but_only_so_many_are_listed() {
    let world = World::new().await;
    let csv = format!("name\nAda\n{}", "=1\n".repeat(1_500));
    let report = world.import(&csv).await.answer;
    assert_eq!((report.errors.len(), report.error_count, report.refused), (1_000, 1_500, 1_500));
}

#[tokio::test]
async fn what_is_wrong_with_the_whole_file_writes_nothing() {
    let world = World::new().await;
    for (csv, code) in [
        (&b""[..], "csv_empty"),
        (b"\xFF\xFEn\0a\0", "csv_encoding"),
        (b"name\nAda\nJos\xE9\n", "csv_encoding"),
        (b"name\nAda\n\"Grace\n", "csv_unterminated_quote"),
        (b"name,shoe\nAda,1\n", "csv_unknown_column"),
        (b"name,name\nAda,Ada\n", "csv_duplicate_column"),
        (b"name,City,locality\nAda,London,London\n", "csv_duplicate_column"),
        (b"name,zip,postcode\nAda,SW1Y 4JH,SW1Y 4JH\n", "csv_duplicate_column"),
        (b"company\nNavy\n", "csv_missing_column"),
        (&vec![b','; 1_000_000], "csv_too_many_columns"),
        (many(100_001).as_bytes(), "csv_too_many_rows"),
    ] {
        let refusal = world.import_refused(&world.keyed("key"), csv, &options()).await;
        assert_eq!((refusal.kind(), refusal.code()), (Kind::Invalid, code));
        let dry = dry_run(&world.executor, &world.request, csv, &options()).await.unwrap_err();
        assert_eq!(dry.code(), code);
    }
    let mapping = BTreeMap::from([("Nobody".to_owned(), "name".to_owned())]);
    let mapped = LeadImport { mapping, ..options() };
    let refusal = world.import_refused(&world.request, GOOD.as_bytes(), &mapped).await;
    assert_eq!(refusal.code(), "csv_mapping_column");
}

#[tokio::test]
async fn a_mapping_by_which_one_field_has_two_columns_or_none_is_meant_is_refused() {
    let world = World::new().await;
    let csv = b"name,\"Town, as of 1840\",city\nAda,Ockham,London\n";
    let mapped = |header: &str, field: &str| {
        let mapping = BTreeMap::from([(header.to_owned(), field.to_owned())]);
        LeadImport { mapping, ..options() }
    };
    for (header, field, code) in [
        ("Town, as of 1840", "locality", "csv_duplicate_column"),
        ("Town, as of 1840", "city", "csv_duplicate_column"),
        ("Town, as of 1840", "town", "csv_mapping_field"),
        ("Town", "locality", "csv_mapping_column"),
        ("town, as of 1840", "ignore", "csv_mapping_column"),
        ("city", "ignore", "csv_unknown_column"),
    ] {
        let mapped = mapped(header, field);
        let refusal = world.import_refused(&world.request, csv, &mapped).await;
        assert_eq!((refusal.kind(), refusal.code()), (Kind::Invalid, code), "{header}: {field}");
        let dry = dry_run(&world.executor, &world.request, csv, &mapped).await.unwrap_err();
        assert_eq!(dry.code(), code);
    }
    let ignored = mapped("Town, as of 1840", "ignore");
    import_leads(&world.executor, &world.request, csv, &ignored).await.unwrap();
    let address = world.imported().await.remove(0).details.address.unwrap();
    assert_eq!(address.reveal().locality.as_deref(), Some("London"));
}

#[tokio::test]
async fn members_do_not_import_and_managers_do_not_backdate() {
    let world = World::new().await;
    let refusal = world.import_refused(&world.role(Role::Member), GOOD.as_bytes(), &options()).await;
    assert_eq!((refusal.kind(), &refusal.extra()["permission"]), (Kind::Forbidden, &"crm:import:write".into()));
    let dated = b"name,occurred_at\nAda,2026-01-31\n";
    let refusal = world.import_refused(&world.role(Role::Manager), dated, &options()).await;
    assert_eq!((refusal.kind(), &refusal.extra()["permission"]), (Kind::Forbidden, &"crm:history:backdate".into()));
    import_leads(&world.executor, &world.role(Role::Manager), GOOD.as_bytes(), &options()).await.unwrap();
}

#[tokio::test]
async fn rows_may_say_when_they_happened() {
    let world = World::new().await;
    let csv = "name,occurred_at\nAda,2025-03-31T12:00:00Z\nGrace,\nZofie,2025-01-01\n";
    assert_eq!(world.import(csv).await.answer.taken, 3);
    let events = world.store.read_after(Position::START, 10).await.unwrap();
    let days: Vec<_> = events[..3].iter().map(|event| event.occurred_at.format("%F").to_string()).collect();
    assert_eq!((days[0].as_str(), days[2].as_str()), ("2025-03-31", "2025-01-01"));
    assert!(events[1].occurred_at > events[0].occurred_at && events[1].occurred_at <= events[1].recorded_at);
}

#[tokio::test]
async fn a_long_file_goes_in_by_chunks() {
    let world = World::new().await;
    let report = world.import(&many(1_203)).await.answer;
    assert_eq!((report.rows, report.taken), (1_203, 1_203));
    assert_eq!(world.head().await, Position(1_204));
    let events = world.store.read_after(Position::START, 10_000).await.unwrap();
    let ids: std::collections::BTreeSet<_> =
        events.iter().map(|event| event.decode_metadata().unwrap().command_id).collect();
    assert_eq!(ids.len(), 26, "twenty-five chunks and the record");
}

#[tokio::test]
async fn the_same_file_under_the_same_key_is_imported_once() {
    let world = World::new().await;
    let csv = many(700);
    let first = import_leads(&world.executor, &world.keyed("file"), csv.as_bytes(), &options()).await.unwrap();
    let head = world.head().await;
    let again = import_leads(&world.elsewhere(), &world.keyed("file"), csv.as_bytes(), &options()).await.unwrap();
    assert_eq!((again.answer, again.repeated), (first.answer, true));
    assert_eq!(world.head().await, head);
    let other = Request { request_hash: [2; 32], ..world.keyed("file") };
    let refusal = world.import_refused(&other, csv.as_bytes(), &options()).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Unprocessable, "idempotency_key_reused"));
}

#[tokio::test]
async fn an_import_that_was_cut_off_goes_on_where_it_was() {
    let world = World::new().await;
    let csv = many(1_200);
    let (request, options) = (world.keyed("file"), options());
    let mut appended = world.store.appended();
    tokio::select! {
        _ = import_leads(&world.executor, &request, csv.as_bytes(), &options) => panic!("not cut off"),
        _ = appended.wait_for(|position| position.0 >= 500) => {}
    }
    assert!(world.head().await < Position(1_201));
    let whole = import_leads(&world.elsewhere(), &request, csv.as_bytes(), &options).await.unwrap();
    assert_eq!(whole.answer.taken, 1_200);
    assert_eq!(world.head().await, Position(1_201));
    let events = world.store.read_after(Position::START, 10_000).await.unwrap();
    let imports: std::collections::BTreeSet<_> = events
        .iter()
        .filter_map(|event| {
            serde_json::from_slice::<serde_json::Value>(&event.payload).unwrap()["import"].as_str().map(str::to_owned)
        })
        .collect();
    assert_eq!(imports, [whole.answer.import_id.unwrap().to_string()].into(), "one import, in two attempts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_file_many_times_at_once_is_imported_once() {
    let world = World::new().await;
    let csv = many(1_100);
    let tasks = (0..8).map(|_| {
        let (executor, request, csv) = (world.elsewhere(), world.keyed("file"), csv.clone());
        tokio::spawn(async move { import_leads(&executor, &request, csv.as_bytes(), &options()).await })
    });
    let reports: Vec<_> = join_all(tasks).await.into_iter().map(|task| task.unwrap().unwrap().answer).collect();
    assert!(reports.iter().all(|report| *report == reports[0]));
    assert_eq!(world.head().await, Position(1_101));
}

#[tokio::test]
async fn any_key_will_do_and_takes_no_other() {
    let world = World::new().await;
    let refusal = world.import_refused(&world.keyed("käse"), GOOD.as_bytes(), &options()).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Invalid, "idempotency_key_invalid"));
    import_leads(&world.executor, &world.keyed(&"k".repeat(255)), GOOD.as_bytes(), &options()).await.unwrap();
    // A key that looks like that of a chunk, before and after.
    for key in ["file/1", "file", "file/2"] {
        let done = import_leads(&world.executor, &world.keyed(key), many(600).as_bytes(), &options()).await.unwrap();
        assert!(!done.repeated, "{key}");
    }
    assert_eq!(world.log().await.into_iter().filter(|event| event == "crm.lead.captured").count(), 1_802);
}

/// Records, at each wait, how far the log is ahead of the requested position.
struct Noting {
    store: eventstore::EventStore,
    ahead: std::sync::Mutex<Vec<u64>>,
}

impl Pace for Noting {
    async fn reached(&self, position: Position) {
        let head = self.store.head().await.unwrap();
        self.ahead.lock().unwrap().push(head.0 - position.0);
    }
}

#[tokio::test]
async fn an_import_is_ten_chunks_ahead_of_whom_it_waits_for_and_one_while_others_write() {
    let world = World::new().await;
    let pace = Noting { store: world.store.clone(), ahead: std::sync::Mutex::default() };
    let csv = many(630);
    importing::import(&world.executor, &world.request, csv.as_bytes(), &options(), &pace).await.unwrap();
    // Asked for after each chunk that is one too many.
    assert_eq!(std::mem::take(&mut *pace.ahead.lock().unwrap()), [500, 500, 480]);
    world.another_tenant_writes().await;
    let csv = many(170);
    importing::import(&world.executor, &world.keyed("beside"), csv.as_bytes(), &options(), &pace).await.unwrap();
    assert_eq!(*pace.ahead.lock().unwrap(), [50, 50, 20]);
}

#[tokio::test]
async fn an_import_that_stops_after_any_chunk_goes_on_elsewhere_and_takes_each_row_once() {
    let world = World::new().await;
    let csv = many(170) + "=1,\n";
    let (request, options) = (world.keyed("job"), options());
    let mut place = ImportPlace::default();
    let mut rows = Vec::new();
    // Each chunk runs in another process; every other one dies before it reports its progress.
    for nth in 0.. {
        let executor = world.elsewhere();
        let mut importing =
            Importing::open(&executor, &request, csv.as_bytes(), &options, MOST_ROWS, place).await.unwrap();
        let Some(chunk) = importing.step().await.unwrap() else { break };
        rows.push(chunk.rows);
        if nth % 2 == 1 {
            let told = serde_json::to_value(importing.place()).unwrap();
            place = serde_json::from_value(told).unwrap();
        }
    }
    assert_eq!(rows, [50, 50, 100, 100, 150, 150, 171, 171]);
    let executor = world.elsewhere();
    let importing = Importing::open(&executor, &request, csv.as_bytes(), &options, MOST_ROWS, place).await.unwrap();
    let report = importing.complete().await.unwrap().answer;
    assert_eq!((report.rows, report.taken, report.refused, report.error_count), (171, 170, 1, 1));
    assert_eq!(said(&report.errors), [error(172, Some("name"), "formula")]);
    let events = world.store.read_after(Position::START, 10_000).await.unwrap();
    let captured: Vec<_> = events.iter().filter(|event| event.event_type == "crm.lead.captured").collect();
    assert_eq!(captured.len(), 170);
    for event in captured {
        let payload: serde_json::Value = serde_json::from_slice(&event.payload).unwrap();
        assert_eq!(payload["import"], report.import_id.unwrap().to_string());
    }
}

#[tokio::test]
async fn an_import_that_was_cut_off_can_be_reverted_and_takes_no_more_rows_unless_that_is_withdrawn() {
    let world = World::new().await;
    let (csv, request, options) = (many(120), world.keyed("job"), options());
    let open = |place| Importing::open(&world.executor, &request, csv.as_bytes(), &options, MOST_ROWS, place);
    let mut cut_off = open(ImportPlace::default()).await.unwrap();
    cut_off.step().await.unwrap();
    let (place, import) = (cut_off.place(), ImportId::new(cut_off.import_id().unwrap()));
    let [captured, ..] = &world.store.read_after(Position::START, 1).await.unwrap()[..] else { panic!("an event") };
    let lead: LeadId = captured.aggregate_id.parse().unwrap();
    let revert = |lead| RequestImportRevert { import, reason: "the wrong list".to_owned(), lead };
    for other in [None, Some(world.lead().await), Some(LeadId::new(import.uuid()))] {
        assert_eq!(world.refused(&revert(other)).await.kind(), Kind::NotFound);
    }
    world.done(&revert(Some(lead))).await;
    assert_eq!(world.refused(&revert(Some(lead))).await.code(), "import_already_reverted");

    let head = world.head().await;
    let refused = open(place).await.unwrap().step().await.unwrap_err();
    assert_eq!(refused.code(), "import_already_reverted");
    let refused = open(place).await.unwrap().complete().await.unwrap_err();
    assert_eq!(refused.code(), "import_already_reverted");
    assert_eq!(world.head().await, head, "a refusal writes nothing");

    world.done(&WithdrawImportRevert { import }).await;
    let mut resumed = open(place).await.unwrap();
    while resumed.step().await.unwrap().is_some() {}
    let report = resumed.complete().await.unwrap().answer;
    assert_eq!((report.import_id, report.rows, report.taken), (Some(import.uuid()), 120, 120));
    assert!(world.state::<ImportBatch>(import).await.is_complete());
}

#[tokio::test]
async fn whoever_imports_for_somebody_may_do_what_they_could_and_nothing_else() {
    let world = World::new().await;
    let tenant = world.request.caller.tenant();
    let (plain, backdating) = (importer(tenant, "ada", false), importer(tenant, "ada", true));
    assert!(plain.may(IMPORT) && !plain.may(BACKDATE) && backdating.may(BACKDATE));
    assert!(!backdating.may("crm:lead:read") && !backdating.may("crm:lead:export"));
    let dated = "name,occurred_at\nAda,2026-01-01T00:00:00Z\n".as_bytes();
    let rows = |caller, csv, most| check(caller, csv, &options(), most);
    assert_eq!(rows(&plain, dated, MOST_ROWS_OF_A_JOB).unwrap_err().code(), "permission_missing");
    assert_eq!(rows(&backdating, dated, MOST_ROWS_OF_A_JOB), Ok(1));
    assert_eq!(rows(&plain, b"name\nAda\n", 1), Ok(1));
    assert_eq!(rows(&plain, b"name\nAda\nGrace\n", 1).unwrap_err().code(), "csv_too_many_rows");
    assert_eq!(world.head().await, Position::START);
}
