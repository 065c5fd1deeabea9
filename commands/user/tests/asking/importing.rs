//! Import of users from CSV files: valid rows are imported once, and give nobody more than the importer has; invalid ones are reported.

use std::collections::BTreeMap;

use executor::{Done, Request};
use futures::future::join_all;
use importing::{ImportPlace, ImportReport, Importing, MOST_ROWS, RowError, Unpaced, check, dry_run, import};
use kernel::{Kind, NoMachines, Position, Refusal, Role};
use user_aggregates::{ImportBatch, ImportKind, Invitation, InvitationId, InvitationStatus, OpenTo, User};
use user_commands::{
    CreateGroup, DissolveGroup, InviteUser, Registration, RemoveUser, RequestRegistration, SetRegistrationPolicy,
    UserImport,
};

use super::support::*;

const GOOD: &str = "email,name,user_name,locale,time_zone,roles,groups\n\
                    Ada@Example.com,Ada Lovelace,ada,en-GB,Europe/London,member; viewer,sales TEAM\n\
                    grace@example.com,\"Hopper, Grace\",,,,,\n";

pub fn users() -> UserImport {
    UserImport { kind: ImportKind::Users, mapping: BTreeMap::new(), age: None, requesters: subjects(NoMachines) }
}

fn invitations() -> UserImport {
    UserImport { kind: ImportKind::Invitations, ..users() }
}

pub fn many(rows: usize) -> String {
    (0..rows).fold("email,name\n".to_owned(), |csv, n| csv + &format!("user{n}@example.com,User {n}\n"))
}

fn error(line: u64, column: Option<&str>, code: &str) -> (u64, Option<String>, String) {
    (line, column.map(str::to_owned), code.to_owned())
}

fn said(errors: &[RowError]) -> Vec<(u64, Option<String>, String)> {
    errors.iter().map(|error| (error.line, error.column.clone(), error.code.clone())).collect()
}

impl World {
    fn keyed(&self, key: &str) -> Request {
        Request { command_id: Some(key.to_owned()), ..self.request.clone() }
    }

    pub async fn import_as(
        &self,
        request: &Request,
        csv: &str,
        what: &UserImport,
    ) -> Result<Done<ImportReport>, Refusal> {
        import(&self.executor, request, csv.as_bytes(), what, &Unpaced).await
    }

    async fn import(&self, csv: &str, what: &UserImport) -> ImportReport {
        self.import_as(&self.request, csv, what).await.unwrap().answer
    }

    /// Expects a file to be refused, by a dry run and by an import, and that nothing is written.
    pub async fn import_refused(&self, request: &Request, csv: &[u8], what: &UserImport) -> Refusal {
        let before = self.store.head().await.unwrap();
        let refusal = import(&self.executor, request, csv, what, &Unpaced).await.unwrap_err();
        assert_eq!(self.store.head().await.unwrap(), before, "a refusal writes nothing");
        refusal
    }

    /// The report of a dry run, which writes nothing.
    async fn dry(&self, request: &Request, csv: &str, what: &UserImport) -> ImportReport {
        let before = self.store.head().await.unwrap();
        let done = dry_run(&self.executor, request, csv.as_bytes(), what).await.unwrap();
        assert_eq!(self.store.head().await.unwrap(), before, "a dry run wrote");
        assert_eq!(done.answer.import_id, None);
        done.answer
    }

    async fn count(&self, event_type: &str) -> usize {
        let events = self.store.read_after(Position::START, 10_000).await.unwrap();
        events.iter().filter(|event| event.event_type == event_type).count()
    }

    /// The registered users, in the order of the log.
    async fn registered(&self) -> Vec<User> {
        let events = self.store.read_after(Position::START, 10_000).await.unwrap();
        let mut users = Vec::new();
        for event in events.iter().filter(|event| event.event_type == "user.user.registered") {
            users.push(self.load::<User>(&event.aggregate_id).await);
        }
        users
    }
}

#[tokio::test]
async fn rows_become_users_and_the_import_is_on_record() {
    let world = World::new().await;
    let sales = world.group("Sales team", &["viewer"]).await;
    let report = world.import(GOOD, &users()).await;
    assert_eq!((report.rows, report.taken, report.refused, report.error_count), (2, 2, 0, 0));
    let [ada, grace] = &world.registered().await[..] else { panic!("two users") };
    assert_eq!(ada.login.names().collect::<Vec<_>>(), ["ada@example.com", "ada"]);
    assert_eq!((ada.profile.name.reveal().as_str(), ada.profile.locale.as_deref()), ("Ada Lovelace", Some("en-GB")));
    assert_eq!((ada.roles.len(), ada.groups.contains(&sales), ada.email_verified), (2, true, false));
    assert_eq!((grace.profile.name.reveal().as_str(), grace.roles.len()), ("Hopper, Grace", 0));
    let batch = world.load::<ImportBatch>(report.import_id.unwrap()).await;
    assert_eq!(batch, ImportBatch { kind: ImportKind::Users, rows: 2, taken: 2, refused: 0 });
}

#[tokio::test]
async fn a_registration_gives_way_to_a_row_as_it_does_to_an_invitation_by_hand() {
    let world = World::new().await;
    let (open_to, domains) = (OpenTo::Everybody, Vec::new());
    world
        .done(&SetRegistrationPolicy { open_to, domains, roles: vec!["viewer".to_owned()], catalogue: catalogue() })
        .await;
    let stranger = world.with_permissions(&["user:registration:request"]);
    let asked = RequestRegistration { email: "ada@example.com".to_owned() };
    assert_eq!(world.done_as(&stranger, &asked).await, Registration::Invited);
    let sent = async || {
        let events = world.store.read_after(Position::START, 10_000).await.unwrap();
        let sent = events.iter().filter(|event| event.event_type == "user.invitation.sent");
        sent.map(|event| event.aggregate_id.parse::<InvitationId>().unwrap()).collect::<Vec<_>>()
    };
    let registration = sent().await[0];
    let csv = "email,name,roles\nAda@Example.com,Ada,member\n";
    let dry = world.dry(&world.request, csv, &invitations()).await;
    assert_eq!((dry.taken, said(&dry.errors)), (1, vec![]));
    assert_eq!(
        world.load::<Invitation>(registration).await.status,
        InvitationStatus::Pending,
        "a dry run took it back"
    );
    let report = world.import(csv, &invitations()).await;
    assert_eq!((report.taken, said(&report.errors)), (1, vec![]));
    let [_, invitation] = sent().await[..] else { panic!("not one more invitation") };
    let (before, now) = (world.load::<Invitation>(registration).await, world.load::<Invitation>(invitation).await);
    assert_eq!((before.status, now.status), (InvitationStatus::Revoked, InvitationStatus::Pending));
    assert!(!now.by_policy && now.roles == ["member"], "{now:?}");
    // The first row now has the address: another row with it is refused.
    let refusal = world.import_refused(&world.request, csv.as_bytes(), &invitations()).await;
    assert_eq!(refusal.extra()["row_errors"][0]["code"], "invited_already");
}

#[tokio::test]
async fn invitations_are_sent_and_keep_what_they_can() {
    let world = World::new().await;
    let sales = world.group("Sales", &[]).await;
    let csv =
        format!("E-Mail,name,roles,groups,Shoe size\nada@example.com,Ada,member,{sales},37\ngrace@example.com,,,,\n");
    let mapping = [("E-Mail", "email"), ("Shoe size", "ignore")];
    let mapping = mapping.map(|(header, field)| (header.to_owned(), field.to_owned())).into();
    let report = world.import(&csv, &UserImport { mapping, ..invitations() }).await;
    assert_eq!((report.rows, report.taken), (2, 2));
    assert_eq!([world.count("user.invitation.sent").await, world.count("user.user.registered").await], [2, 0]);
    let batch = world.load::<ImportBatch>(report.import_id.unwrap()).await;
    assert_eq!((batch.kind, batch.taken), (ImportKind::Invitations, 2));
    // A person who has an invitation can't be invited again, but can be registered.
    let again = "email,name\nada@example.com,Ada\n";
    let refusal = world.import_refused(&world.request, again.as_bytes(), &invitations()).await;
    assert_eq!(refusal.extra()["row_errors"][0]["code"], "invited_already");
    let columns = b"email,locale,Time_zone\nx@example.com,de,UTC\n";
    let refusal = world.import_refused(&world.request, columns, &invitations()).await;
    assert_eq!(
        (refusal.code(), &refusal.extra()["columns"]),
        ("csv_column_not_of_invitations", &["locale", "Time_zone"].as_slice().into())
    );
    let columns = b"email,street,City,zip,country\nx@example.com,1 Main Street,Springfield,97477,US\n";
    let refusal = world.import_refused(&world.request, columns, &invitations()).await;
    assert_eq!(
        (refusal.code(), &refusal.extra()["columns"]),
        ("csv_column_not_of_invitations", &["street", "City", "zip", "country"].as_slice().into())
    );
    world.import(again, &users()).await;
    let refusal = world.import_refused(&world.request, again.as_bytes(), &invitations()).await;
    let codes: Vec<_> = refusal.extra()["row_errors"].as_array().unwrap().iter().map(|error| &error["code"]).collect();
    assert_eq!(codes, ["login_taken", "invited_already"]);
}

#[tokio::test]
async fn a_dry_run_says_of_every_row_what_is_done_then() {
    let world = World::new().await;
    world.user("taken", &[]).await;
    world.group("Admins", &["admin"]).await;
    let gone = world.group("Gone", &[]).await;
    world.done(&DissolveGroup { group: gone, catalogue: catalogue() }).await;
    let csv = "Address,name,user_name,phone,time_zone,roles,groups\n\
               ada@example.com,Ada,ada,,,viewer,\n\
               taken@example.com,Taken,,,,,\n\
               nobody,,,,,,\n\
               ADA@example.com,Twice,,,,,\n\
               x1@example.com,Twice,Ada,,,,\n\
               x2@example.com,=cmd(),,,,,\n\
               x3@example.com,X,,0049,,,\n\
               x4@example.com,X,,,Mars/Base one,,\n\
               x5@example.com,X,,,,viewer;emperor,\n\
               x6@example.com,X,,,,,Nobodies\n\
               x7@example.com,X,,,,,Gone\n\
               x8@example.com,X,,,,admin,\n\
               x9@example.com,X,,,,,admins\n\
               short@example.com\n\
               \"bro\"ken@example.com,X,,,,,\n\
               \"grace@example.com\",\"Hopper, Grace\",,+49 30 123456,Europe/Berlin,,\n";
    let manager = world.as_roles(&[Role::Manager]);
    let mapping = BTreeMap::from([("Address".to_owned(), "email".to_owned())]);
    let what = UserImport { mapping, ..users() };
    let dry = world.dry(&manager, csv, &what).await;
    assert_eq!((dry.rows, dry.taken, dry.refused), (16, 2, 14));
    let expected = [
        error(3, Some("Address"), "login_taken"),
        error(4, Some("Address"), "email"),
        error(4, Some("name"), "empty"),
        error(5, Some("Address"), "duplicate_in_file"),
        error(6, Some("user_name"), "duplicate_in_file"),
        error(7, Some("name"), "formula"),
        error(8, Some("phone"), "phone"),
        error(9, Some("time_zone"), "time_zone"),
        error(10, Some("roles"), "not_found"),
        error(11, Some("groups"), "not_found"),
        error(12, Some("groups"), "not_found"),
        error(13, Some("roles"), "exceeds_own_permissions"),
        error(14, Some("groups"), "exceeds_own_permissions"),
        error(15, None, "ragged_row"),
        error(16, None, "broken_quotes"),
    ];
    assert_eq!(said(&dry.errors), expected);
    let wet = world.import_as(&manager, csv, &what).await.unwrap().answer;
    assert_eq!(ImportReport { import_id: None, ..wet }, dry);
    // An importer with more permissions can give more.
    let head = world.store.head().await.unwrap();
    let admin = world.dry(&world.request, "email,name,roles,groups\nx8@example.com,X,admin,Admins\n", &users()).await;
    assert_eq!((admin.taken, world.store.head().await.unwrap()), (1, head));
}

#[tokio::test]
async fn an_address_stands_in_columns_of_its_own_of_which_what_is_wrong_with_it_is_said() {
    let world = World::new().await;
    let csv = "email,name,street,postal_code,country\n\
               ada@example.com,Ada,\"12 St James's Square\nFlat 3\",SW1Y 4JH,gb\n\
               x1@example.com,X,,,England\n\
               x2@example.com,X,,123456789012345678901,\n\
               grace@example.com,Grace,,,\n";
    let dry = world.dry(&world.request, csv, &users()).await;
    let expected = [error(4, Some("country"), "country"), error(5, Some("postal_code"), "length")];
    assert_eq!((dry.taken, said(&dry.errors)), (2, expected.to_vec()));
    world.import(csv, &users()).await;
    let [ada, grace] = &world.registered().await[..] else { panic!("two users") };
    let address = ada.profile.address.as_ref().unwrap().reveal();
    assert_eq!(
        (address.street.as_deref(), address.country.as_deref()),
        (Some("12 St James's Square\nFlat 3"), Some("GB"))
    );
    assert_eq!((&address.locality, &grace.profile.address), (&None, &None));
}

#[tokio::test]
async fn what_is_wrong_with_the_whole_file_writes_nothing() {
    let world = World::new().await;
    let utf16: Vec<u8> = "email,name\na@b.cd,A\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (csv, code) in [
        (&b""[..], "csv_empty"),
        (b"email,name\n", "csv_empty"),
        (&utf16, "csv_encoding"),
        (b"email,name\na@b.cd,Jos\xE9\n", "csv_encoding"),
        (b"email,name\na@b.cd,\"Ada\n", "csv_unterminated_quote"),
        (b"ema\"il,name\na@b.cd,Ada\n", "csv_broken_header"),
        (b"email,name,shoe\na@b.cd,Ada,1\n", "csv_unknown_column"),
        (b"email,name,Email\na@b.cd,Ada,a@b.cd\n", "csv_duplicate_column"),
        (b"email,name,state,Region\na@b.cd,Ada,Oregon,Oregon\n", "csv_duplicate_column"),
        (b"email,name,ZIP,postal_code\na@b.cd,Ada,97477,97477\n", "csv_duplicate_column"),
        (b"name\nAda\n", "csv_missing_column"),
        (b"email\na@b.cd\n", "csv_missing_column"),
        (b"email|name\na@b.cd|Ada\n", "csv_unknown_column"),
        (&vec![b','; 1_000_000], "csv_too_many_columns"),
        (many(100_001).as_bytes(), "csv_too_many_rows"),
    ] {
        let refusal = world.import_refused(&world.request, csv, &users()).await;
        assert_eq!((refusal.kind(), refusal.code()), (Kind::Invalid, code));
        let dry = dry_run(&world.executor, &world.request, csv, &users()).await.unwrap_err();
        assert_eq!(dry.code(), code);
        assert_eq!(check(&world.request.caller, csv, &users(), MOST_ROWS).unwrap_err().code(), code);
    }
    let none = world.import_refused(&world.request, b"email,name\n=1,x\n", &users()).await;
    assert_eq!(none.code(), "csv_no_row_taken");
}

#[tokio::test]
async fn a_mapping_that_does_not_fit_the_file_writes_nothing() {
    let world = World::new().await;
    let csv = "email,Pr\u{e9}nom\nada@example.com,Ada\n".as_bytes();
    for (mapping, code) in [
        (&[("Pr\u{e9}nom", "name"), ("Pre\u{301}nom", "given_name")][..], "csv_mapping_column"),
        (&[("Pr\u{e9}nom", "name"), ("Nom", "family_name")], "csv_mapping_column"),
        (&[("Pr\u{e9}nom", "shoe_size")], "csv_mapping_field"),
        (&[("Pr\u{e9}nom", "email")], "csv_duplicate_column"),
    ] {
        let mapping = mapping.iter().map(|(header, field)| ((*header).to_owned(), (*field).to_owned())).collect();
        let what = UserImport { mapping, ..users() };
        let refusal = world.import_refused(&world.request, csv, &what).await;
        assert_eq!((refusal.kind(), refusal.code()), (Kind::Invalid, code));
        let dry = dry_run(&world.executor, &world.request, csv, &what).await.unwrap_err();
        assert_eq!(dry.code(), code);
    }
    let mapping = [("Pre\u{301}nom".to_owned(), "name".to_owned())].into();
    let report = import(&world.executor, &world.request, csv, &UserImport { mapping, ..users() }, &Unpaced).await;
    assert_eq!(report.unwrap().answer.taken, 1, "one of the forms is enough");
}

#[tokio::test]
async fn whoever_may_not_do_it_by_hand_does_not_do_it_by_file() {
    let world = World::new().await;
    for role in [Role::Member, Role::Viewer, Role::Auditor] {
        let refusal = world.import_refused(&world.as_roles(&[role]), GOOD.as_bytes(), &users()).await;
        assert_eq!((refusal.kind(), &refusal.extra()["permission"]), (Kind::Forbidden, &"user:import:write".into()));
    }
    for (what, missing) in [(users(), "user:user:write"), (invitations(), "user:invitation:write")] {
        let importer = world.with_permissions(&["user:import:write"]);
        let csv = b"email,name\nada@example.com,Ada\n";
        let refusal = world.import_refused(&importer, csv, &what).await;
        assert_eq!((refusal.code(), &refusal.extra()["permission"]), ("permission_missing", &missing.into()));
        let dry = dry_run(&world.executor, &importer, csv, &what).await.unwrap_err();
        assert_eq!(dry.extra()["permission"], missing);
    }
}

#[tokio::test]
async fn owners_who_are_imported_are_owners() {
    let world = World::new().await;
    let ada = world.user("ada", &["admin"]).await;
    let grace = "email,name,roles\ngrace@example.com,Grace,admin\n";
    world.import(grace, &users()).await;
    // There is another owner now, so the first one may leave.
    world.done(&RemoveUser { user: ada, catalogue: catalogue() }).await;
}

#[tokio::test]
async fn the_same_file_under_the_same_key_is_imported_once() {
    let world = World::new().await;
    let csv = many(250) + "user7@example.com,Again\n";
    let first = world.import_as(&world.keyed("file"), &csv, &users()).await.unwrap();
    assert_eq!((first.answer.taken, first.answer.refused, first.repeated), (250, 1, false));
    let head = world.store.head().await.unwrap();
    let again = world.import_as(&world.keyed("file"), &csv, &users()).await.unwrap();
    assert_eq!((again.answer, again.repeated), (first.answer, true));
    let other = Request { request_hash: [2; 32], ..world.keyed("file") };
    let refusal = world.import_refused(&other, csv.as_bytes(), &users()).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Unprocessable, "idempotency_key_reused"));
    // With another key, every row is a duplicate.
    let refusal = world.import_refused(&world.keyed("other"), csv.as_bytes(), &users()).await;
    let errors = refusal.extra()["row_errors"].as_array().unwrap();
    assert_eq!((errors.len(), errors.iter().filter(|error| error["code"] == "login_taken").count()), (251, 250));
    assert_eq!(world.store.head().await.unwrap(), head);
}

#[tokio::test]
async fn an_import_that_was_cut_off_goes_on_where_it_was() {
    let world = World::new().await;
    let csv = many(700);
    let (request, what) = (world.keyed("file"), users());
    let mut appended = world.store.appended();
    tokio::select! {
        _ = world.import_as(&request, &csv, &what) => panic!("not cut off"),
        _ = appended.wait_for(|position| position.0 >= 300) => {}
    }
    assert!(world.store.head().await.unwrap() < Position(701));
    let whole = world.import_as(&request, &csv, &what).await.unwrap();
    assert_eq!((whole.answer.taken, whole.answer.error_count), (700, 0));
    assert_eq!(world.count("user.user.registered").await, 700);
}

#[tokio::test]
async fn an_import_that_stops_after_any_chunk_goes_on_elsewhere_and_takes_each_row_once() {
    let world = World::new().await;
    world.user("user150", &[]).await;
    let csv = many(240) + "user7@example.com,Again\n=1,x\n";
    let (request, what) = (world.keyed("job"), users());
    let mut place = ImportPlace::default();
    let mut rows = Vec::new();
    // Every other process dies before it reports its progress.
    for nth in 0.. {
        let open = Importing::open(&world.executor, &request, csv.as_bytes(), &what, MOST_ROWS, place).await;
        let mut importing = open.unwrap();
        let Some(chunk) = importing.step().await.unwrap() else { break };
        rows.push((chunk.rows, chunk.errors.len()));
        if nth % 2 == 1 {
            place = serde_json::from_value(serde_json::to_value(importing.place()).unwrap()).unwrap();
        }
    }
    let each = [(50, 0), (100, 0), (150, 0), (200, 1), (242, 2)];
    assert_eq!(rows, each.into_iter().flat_map(|chunk| [chunk; 2]).collect::<Vec<_>>());
    let importing = Importing::open(&world.executor, &request, csv.as_bytes(), &what, MOST_ROWS, place).await.unwrap();
    let report = importing.complete().await.unwrap().answer;
    assert_eq!((report.rows, report.taken, report.refused, report.error_count), (242, 239, 3, 3));
    assert_eq!(world.count("user.user.registered").await, 240);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn files_at_once_that_name_the_same_people_make_each_of_them_a_user_once() {
    let world = std::sync::Arc::new(World::new().await);
    let tasks = (0..4).map(|n| {
        let world = world.clone();
        // Each file begins with a different row, so that none is refused as a whole.
        let csv = many(150).replacen('\n', &format!("\nown{n}@example.com,Own\n"), 1);
        tokio::spawn(async move { world.import_as(&world.keyed(&format!("file {n}")), &csv, &users()).await })
    });
    let reports: Vec<_> = join_all(tasks).await.into_iter().map(|task| task.unwrap().unwrap().answer).collect();
    let taken: u64 = reports.iter().map(|report| report.taken).sum();
    assert_eq!((taken, world.count("user.user.registered").await), (154, 154));
    let refused: u64 = reports.iter().map(|report| report.error_count).sum();
    assert_eq!(refused, 3 * 150);
}

#[tokio::test]
async fn a_group_is_meant_by_its_name_of_now() {
    let world = World::new().await;
    let (email, name, roles) = ("x@example.com".to_owned(), None, vec![]);
    world.done(&InviteUser { email, name, roles, groups: vec![], catalogue: catalogue() }).await;
    let create = CreateGroup { name: "Ñandú; Inc".to_owned(), roles: vec![], catalogue: catalogue() };
    let odd = world.done(&create).await;
    // A name with a semicolon can't be in a list, but the group's id can.
    let csv = format!("email,name,groups\nada@example.com,Ada,{odd}\ngrace@example.com,Grace,Ñandú; Inc\n");
    let report = world.import(&csv, &users()).await;
    assert_eq!((report.taken, said(&report.errors)), (1, vec![error(3, Some("groups"), "not_found")]));
    assert!(world.registered().await[0].groups.contains(&odd));
}
