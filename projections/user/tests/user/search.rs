//! Searching among many, by words that few, many or all have.

use kernel::UserId;
use sqlx::PgConnection;
use user_aggregates::{UserEvent, UserStatus};
use user_projections::people::{self, PersonFilter, PersonOrder};

use crate::directory::{registered, user};
use crate::stage::Stage;
use crate::story::{Story, day, id};

/// How many people there are: half of them are called Ada, half Zoe, each with a family name of their own.
const MANY: usize = 6_000;
/// A page, and one more that says whether there is another.
const PAGE: i64 = 21;

async fn crowd() -> (Stage, Story) {
    let mut story = Story::new();
    for nth in 0..MANY {
        let given = if nth % 2 == 0 { "Ada" } else { "Zoe" };
        user(&mut story, &format!("{given} F{nth}"), &["member"]);
    }
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 1_000).await.unwrap();
    (stage, story)
}

/// Rows and index entries that this session has read of the directory's tables, as Postgres counts them.
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
    let mut tables = stage.read(story.tenant).await;
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = people::list(&mut tables, story.tenant, filter, order, after, 500).await.unwrap();
        let Some(last) = page.last() else { return found };
        after = Some(order.seek(last));
        found.extend(page.into_iter().map(|row| row.name));
    }
}

/// The names of those for whom it holds, in order.
fn expected(holds: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let names = (0..MANY).map(|nth| (if nth % 2 == 0 { "Ada" } else { "Zoe" }, format!("F{nth}")));
    let mut names: Vec<_> = names
        .filter(|(given, family)| holds(given, family))
        .map(|(given, family)| format!("{given} {family}"))
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_page_of_a_search_reads_little_whether_few_or_all_have_the_words() {
    let (stage, story) = crowd().await;
    let mut tables = stage.read(story.tenant).await;
    // Who has a common word is met on the way; it was counted up to a thousand first. Who has a rare one is looked up.
    for (text, found, most) in [
        ("a", PAGE, 1_500),
        ("example", PAGE, 1_500),
        ("ada example com", PAGE, 3_500),
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

#[tokio::test]
async fn pages_of_a_search_are_the_same_people_whichever_way_they_are_found() {
    let (stage, story) = crowd().await;
    let by_name = |text: &'static str| {
        let (stage, story) = (&stage, &story);
        async move { names(stage, story, &searched(text), PersonOrder::Name).await }
    };
    assert_eq!(by_name("ada").await, expected(|given, _| given == "Ada"), "the first in the order");
    assert_eq!(by_name("zoe").await, expected(|given, _| given == "Zoe"), "the last in the order");
    assert_eq!(by_name("zoe exam").await, expected(|given, _| given == "Zoe"));
    assert_eq!(by_name("f17 zo").await, expected(|given, family| given == "Zoe" && family.starts_with("F17")));
    assert_eq!(by_name("ada zoe").await, Vec::<String>::new(), "two common words that nobody has together");
    assert_eq!(by_name("...").await.len(), MANY, "no word at all");

    let role = PersonFilter { role: Some("member".to_owned()), ..searched("zoe") };
    let oldest = names(&stage, &story, &role, PersonOrder::Oldest).await;
    assert_eq!(oldest.len(), MANY / 2);
    let mut newest = names(&stage, &story, &role, PersonOrder::Newest).await;
    newest.reverse();
    assert_eq!(newest, oldest, "in other orders, too");
    let locked = PersonFilter { status: Some(vec![UserStatus::Locked]), ..role };
    assert_eq!(names(&stage, &story, &locked, PersonOrder::Name).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_page_by_number_begins_where_the_one_before_ended() {
    let (stage, mut story) = crowd().await;
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
