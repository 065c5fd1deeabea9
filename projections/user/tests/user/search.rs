//! Searches in a large directory, by words that few, many or all users have.

use std::collections::BTreeMap;

use folding::marks::Marks;
use folding::words::{Term, words};
use kernel::UserId;
use sqlx::{Connection, PgConnection};
use user_aggregates::{Profile, UserErased, UserEvent, UserLocked, UserProfileChanged, UserRemoved, UserStatus};
use user_projections::people::{self, PersonFilter, PersonOrder};

use crate::directory::{registered, user};
use crate::stage::Stage;
use crate::story::{Story, day, id};

/// The number of users. Half of them are called Ada, half Zoe, each with a different family name.
const MANY: usize = 6_000;
/// The size of a page, plus one row that shows whether there is a next page.
const PAGE: i64 = 21;

/// Whether the user has the role `odd`: every other user of each given name.
fn is_odd(nth: usize) -> bool {
    nth / 2 % 2 == 1
}

async fn crowd() -> (Stage, Story) {
    let mut story = Story::new();
    for nth in 0..MANY {
        let given = if nth % 2 == 0 { "Ada" } else { "Zoe" };
        let number = if is_odd(nth) { "odd" } else { "even" };
        user(&mut story, &format!("{given} F{nth}"), &["member", number]);
    }
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 1_000).await.unwrap();
    analyze(&stage).await;
    (stage, story)
}

/// Gathers statistics, as autovacuum does some time later.
async fn analyze(stage: &Stage) {
    let mut tables = PgConnection::connect_with(&stage.database.superuser()).await.unwrap();
    sqlx::raw_sql("ANALYZE").execute(&mut tables).await.unwrap();
}

/// One test with a common set of users, because creating them takes the longest. Steps that only read come first; those that change most
/// come last.
#[tokio::test]
async fn among_thousands_of_people_whoever_is_searched_for_is_found_with_little_read() {
    let (stage, mut story) = crowd().await;
    a_page_of_a_search_reads_little_whether_few_or_all_have_the_words(&stage, &story).await;
    pages_of_a_search_are_the_same_people_whichever_way_they_are_found(&stage, &story).await;
    two_words_of_many_take_little_though_nothing_is_known_of_them_yet(&stage).await;
    people_with_the_marks_of_a_word_are_not_found_without_the_word(&stage).await;
    any_search_finds_whom_a_look_at_each_person_finds(&stage).await;
    a_page_by_number_begins_where_the_one_before_ended(&stage, &mut story).await;
    who_is_renamed_locked_or_removed_is_found_where_they_stand_now(&stage, &mut story).await;
}

/// The rows and index entries of the directory's tables that this transaction has read, by the statistics of Postgres.
async fn rows_read(tables: &mut PgConnection) -> i64 {
    let read = "SELECT sum(pg_stat_get_xact_tuples_returned(oid))::bigint FROM pg_class
                WHERE relnamespace = '\"user\"'::regnamespace AND relname LIKE 'person%'";
    sqlx::query_scalar(read).fetch_one(tables).await.unwrap()
}

fn searched(text: &str) -> PersonFilter {
    PersonFilter { search: Some(text.to_owned()), ..PersonFilter::default() }
}

/// All names that a search finds, page by page.
async fn names(stage: &Stage, story: &Story, filter: &PersonFilter, order: PersonOrder) -> Vec<String> {
    names_by(500, stage, story, filter, order).await
}

/// All names that a search finds, in pages of this size.
async fn names_by(size: i64, stage: &Stage, story: &Story, filter: &PersonFilter, order: PersonOrder) -> Vec<String> {
    let mut tables = stage.read(story.tenant).await;
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = people::list(&mut tables, story.tenant, filter, order, after, size).await.unwrap();
        let Some(last) = page.last() else { return found };
        after = Some(order.seek(last));
        found.extend(page.into_iter().map(|row| row.name));
    }
}

/// The names for which the condition holds, in order.
fn expected(holds: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let names = (0..MANY).map(|nth| (if nth % 2 == 0 { "Ada" } else { "Zoe" }, format!("F{nth}")));
    let mut names: Vec<_> = names
        .filter(|(given, family)| holds(given, family))
        .map(|(given, family)| format!("{given} {family}"))
        .collect();
    names.sort_unstable();
    names
}

async fn a_page_of_a_search_reads_little_whether_few_or_all_have_the_words(stage: &Stage, story: &Story) {
    let mut tables = stage.read(story.tenant).await;
    // Each word is first counted up to a thousand. The entries of one word are in the order of the list, so a page is read directly, and
    // two words are merged. "f" is a prefix of many words, so the first users of the list match. "f5" is one, too, but its users are not
    // among the first of the list, so all its entries are read. Users with a rare word are looked up.
    for (text, found, most) in [
        ("a", PAGE, 1_500),
        ("example", PAGE, 1_500),
        ("ada example com", PAGE, 3_500),
        ("zoe", PAGE, 1_200),
        ("z", PAGE, 1_200),
        ("zoe example", PAGE, 2_300),
        ("ada zoe", 0, 2_200),
        ("f", PAGE, 1_500),
        ("f5", PAGE, 2_700),
        ("f5 zoe", PAGE, 11_000),
        ("f17", PAGE, 500),
        ("f1718", 1, 50),
        ("example f1718 ada", 1, 2_500),
        ("zoe f1718", 0, 1_500),
        ("nobody", 0, 10),
    ] {
        let before = rows_read(&mut tables).await;
        let rows =
            people::list(&mut tables, story.tenant, &searched(text), PersonOrder::Name, None, PAGE).await.unwrap();
        let read = rows_read(&mut tables).await - before;
        assert_eq!(rows.len() as i64, found, "{text}");
        assert!(read <= most, "{text}: {read} rows were read for {found}, of {MANY} people");
    }
}

async fn two_words_of_many_take_little_though_nothing_is_known_of_them_yet(stage: &Stage) {
    // A new tenant, of which Postgres has no statistics yet.
    let (mut story, each) = (Story::new(), 1_200);
    for nth in 0..2 * each {
        user(&mut story, &format!("F{nth} {}", if nth % 2 == 0 { "Left" } else { "Right" }), &["member"]);
    }
    stage.apply(&story.events, 1_000).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    for order in [PersonOrder::Name, PersonOrder::Newest] {
        let before = rows_read(&mut tables).await;
        let rows = people::list(&mut tables, story.tenant, &searched("left right"), order, None, PAGE).await.unwrap();
        let read = rows_read(&mut tables).await - before;
        assert!(rows.is_empty(), "{order:?}");
        // By name, each word is counted up to a thousand, and the entries of one of them are read.
        let most = if matches!(order, PersonOrder::Name) { 3 * each } else { 10 * each };
        assert!(read <= most, "{order:?}: {read} rows were read of {each} for each word");
    }
    let before = rows_read(&mut tables).await;
    assert_eq!(people::count(&mut tables, story.tenant, &searched("left right")).await.unwrap(), 0);
    let read = rows_read(&mut tables).await - before;
    assert!(read <= 200_000, "{read} rows of some 40,000 were read to count");
    for planner in ["enable_nestloop", "enable_seqscan", "enable_bitmapscan", "max_parallel_workers_per_gather"] {
        let as_ever = "SELECT setting = reset_val FROM pg_settings WHERE name = $1";
        let as_ever: bool = sqlx::query_scalar(as_ever).bind(planner).fetch_one(&mut *tables).await.unwrap();
        assert!(as_ever, "{planner}: what else is asked is planned as ever");
    }
}

async fn people_with_the_marks_of_a_word_are_not_found_without_the_word(stage: &Stage) {
    // A word that looks by its marks as if all who are called "left" had it, and the reverse.
    let seems = |word: &str, others: &str| {
        Marks::of([others, "example", "com"]).include(Marks::of_terms(&[Term::Is(word.to_owned())]))
    };
    let alike =
        (0..1_000_000).map(|n| format!("le{n}")).find(|word| seems(word, "left") && seems("left", word)).unwrap();
    // More than are looked up one by one.
    let (mut story, each) = (Story::new(), 1_100);
    for nth in 0..2 * each {
        user(&mut story, &format!("F{nth} {}", if nth % 2 == 0 { "left" } else { &alike }), &["member"]);
    }
    let both = format!("Z left {alike}");
    user(&mut story, &both, &["member"]);
    stage.apply(&story.events, 1_000).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    for order in [PersonOrder::Name, PersonOrder::Newest, PersonOrder::Oldest] {
        for text in [format!("left {alike}"), format!("left {alike} exam")] {
            let before = rows_read(&mut tables).await;
            let rows = people::list(&mut tables, story.tenant, &searched(&text), order, None, PAGE).await.unwrap();
            let read = rows_read(&mut tables).await - before;
            assert_eq!(rows.iter().map(|row| &row.name).collect::<Vec<_>>(), [&both], "{text}, {order:?}");
            assert!(read <= 20 * each, "{text}, {order:?}: {read} rows were read of {each} for each word");
        }
    }
}

/// What a search finds when each person is looked at: the names, in order. `people` are names and e-mail addresses.
fn looked_through(people: &BTreeMap<String, String>, text: &str) -> Vec<String> {
    let terms = words([text]);
    let matches = |(name, email): &(&String, &String)| {
        let words = words([name.as_str(), email.as_str()]);
        terms.iter().all(|term| words.iter().any(|word| word.starts_with(term)))
    };
    people.iter().filter(matches).map(|(name, _)| name.clone()).collect()
}

async fn any_search_finds_whom_a_look_at_each_person_finds(stage: &Stage) {
    // Two common words that hardly anybody has together. Some people are renamed, removed or erased.
    let (mut story, mut people) = (Story::new(), BTreeMap::new());
    for nth in 0..2_600 {
        let word = if nth % 2 == 0 { "net" } else { "org" };
        let name = match nth % 65 {
            5 => format!("Žofie O'Neill-{nth} Anna{word}"),
            6 => format!("100% _a\\b {nth} :role:member"),
            _ => format!("Mia N{nth}"),
        };
        let (user, email) = (id(), format!("n{nth}@site.{word}"));
        story.add::<UserEvent>(user, day(1), registered(&name, &email, &["guest"]));
        match nth % 100 {
            0 => story.add::<UserEvent>(user, day(2), UserRemoved {}),
            1 => story.add::<UserEvent>(user, day(2), UserErased {}),
            3 => {
                let name = format!("{name} Net");
                let profile = Profile { name: name.clone().into(), ..Profile::default() };
                story.add::<UserEvent>(user, day(2), UserProfileChanged { profile });
                people.insert(name, email);
            }
            _ => _ = people.insert(name, email),
        }
    }
    stage.apply(&story.events, 1_000).await.unwrap();
    analyze(stage).await;
    for text in [
        "net org",
        "ne or",
        "n o",
        "s m n",
        "site net org",
        "mia org",
        "mia n1 org",
        "n1 or",
        "ž o",
        "žofie annan",
        "ZOFIE",
        "o'neill-5",
        "100%",
        "_a net",
        "a\\b",
        ":role:member",
        "role mem org",
        "n12@site.net",
        "nobody",
        "%",
    ] {
        let expected = looked_through(&people, text);
        for size in [500, 130] {
            let found = names_by(size, stage, &story, &searched(text), PersonOrder::Name).await;
            assert_eq!(found, expected, "{text}, in pages of {size}");
        }
        let mut found = names(stage, &story, &searched(text), PersonOrder::Newest).await;
        found.sort_unstable();
        assert_eq!(found, expected, "{text}, the newest first");
    }
    let guests = PersonFilter { role: Some("guest".to_owned()), ..searched("site net org") };
    let both = looked_through(&people, "net org");
    assert_eq!(both.len(), 26);
    assert_eq!(names(stage, &story, &guests, PersonOrder::Name).await, both, "who also has a role");
    for (text, role) in [("net", "member"), ("left", "guest")] {
        let filter = PersonFilter { role: Some(role.to_owned()), ..searched(text) };
        let found = names(stage, &story, &filter, PersonOrder::Name).await;
        assert_eq!(found, Vec::<String>::new(), "only people of other tenants are called so, or have that role");
    }
}

async fn pages_of_a_search_are_the_same_people_whichever_way_they_are_found(stage: &Stage, story: &Story) {
    let by_name = |text: &'static str| async move { names(stage, story, &searched(text), PersonOrder::Name).await };
    assert_eq!(by_name("ada").await, expected(|given, _| given == "Ada"), "the first in the order");
    assert_eq!(by_name("zoe").await, expected(|given, _| given == "Zoe"), "the last in the order");
    assert_eq!(by_name("zoe exam").await, expected(|given, _| given == "Zoe"));
    assert_eq!(by_name("f17 zo").await, expected(|given, family| given == "Zoe" && family.starts_with("F17")));
    assert_eq!(by_name("ada zoe").await, Vec::<String>::new(), "two common words that nobody has together");
    assert_eq!(by_name("...").await.len(), MANY, "no word at all");

    assert_eq!(by_name("z").await, expected(|given, _| given == "Zoe"));
    let f5 = |family: &str| family.starts_with("F5");
    assert_eq!(by_name("f5").await, expected(|_, family| f5(family)), "many words that begin so, behind the first");
    assert_eq!(by_name("f5 f").await, expected(|_, family| f5(family)), "one word may be both");
    assert_eq!(by_name("f5 zoe").await, expected(|given, family| given == "Zoe" && f5(family)));
    assert_eq!(by_name("role").await, Vec::<String>::new(), "what they belong to is no word of theirs");

    let role = PersonFilter { role: Some("member".to_owned()), ..searched("zoe") };
    let oldest = names(stage, story, &role, PersonOrder::Oldest).await;
    assert_eq!(oldest.len(), MANY / 2);
    let mut newest = names(stage, story, &role, PersonOrder::Newest).await;
    newest.reverse();
    assert_eq!(newest, oldest, "in other orders, too");
    let odd = PersonFilter { role: Some("odd".to_owned()), ..searched("zoe example") };
    let expected_odd = expected(|given, family| given == "Zoe" && is_odd(family[1..].parse().unwrap()));
    assert_eq!(names(stage, story, &odd, PersonOrder::Name).await, expected_odd, "common words, merged");
    let mut found = names(stage, story, &odd, PersonOrder::Newest).await;
    found.sort_unstable();
    assert_eq!(found, expected_odd, "and sorted");
    let some = PersonFilter { status: Some(vec![UserStatus::Active, UserStatus::Removed]), ..role.clone() };
    assert_eq!(names(stage, story, &some, PersonOrder::Name).await, expected(|given, _| given == "Zoe"));
    let locked = PersonFilter { status: Some(vec![UserStatus::Locked]), ..role };
    assert_eq!(names(stage, story, &locked, PersonOrder::Name).await, Vec::<String>::new());
}

async fn who_is_renamed_locked_or_removed_is_found_where_they_stand_now(stage: &Stage, story: &mut Story) {
    let before = story.events.len();
    let (zoe, locked, removed) = (id(), id(), id());
    for (user, at) in [(zoe, 2), (locked, 3), (removed, 4)] {
        story.add::<UserEvent>(user, day(at), registered("Zoe Zz", "zz@example.com", &["member"]));
    }
    let profile = Profile { name: "Aaron Zoe".to_owned().into(), ..Profile::default() };
    story.add::<UserEvent>(zoe, day(5), UserProfileChanged { profile });
    story.add::<UserEvent>(locked, day(5), UserLocked { reason: "x".to_owned() });
    story.add::<UserEvent>(removed, day(5), UserRemoved {});
    for event in &story.events[before..] {
        stage.apply(std::slice::from_ref(event), 1).await.unwrap();
    }
    let mut tables = stage.read(story.tenant).await;
    let mut first = async |filter: PersonFilter, order| {
        let page = people::list(&mut tables, story.tenant, &filter, order, None, 2).await.unwrap();
        page.into_iter().map(|row| row.user_id).collect::<Vec<_>>()
    };
    assert_eq!(first(searched("zoe"), PersonOrder::Name).await[0], zoe, "by the new name");
    assert_eq!(first(searched("zoe"), PersonOrder::Newest).await, [locked, zoe]);
    assert_eq!(first(searched("zoe zz"), PersonOrder::Oldest).await, [zoe, locked]);
    for (status, found) in [(UserStatus::Locked, locked), (UserStatus::Removed, removed)] {
        for filter in [searched("zoe"), PersonFilter::default()] {
            let filter = PersonFilter { status: Some(vec![status]), ..filter };
            assert_eq!(first(filter, PersonOrder::Name).await, [found], "{status:?}");
        }
    }
}

async fn a_page_by_number_begins_where_the_one_before_ended(stage: &Stage, story: &mut Story) {
    let last = id();
    let before = story.events.len();
    story.add::<UserEvent>(last, day(2), registered("Last", "last@example.com", &[]));
    stage.apply(&story.events[before..], 1).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    let skipped = MANY as i64 - 99;
    let page = people::page_present(&mut tables, story.tenant, skipped, 100).await.unwrap();
    assert_eq!(page.len(), 100);
    assert!(page.is_sorted_by_key(|row| row.user_id));
    let all = people::ids(&mut tables, story.tenant, None::<UserId>, MANY as i64 + 1).await.unwrap();
    let shown: Vec<_> = page.iter().map(|row| row.user_id).collect();
    assert_eq!(shown, all[skipped as usize..], "in the order of ids");
    assert_eq!(people::count_present(&mut tables, story.tenant).await.unwrap(), MANY as i64 + 1);
}
