//! Measures how fast the directory of a large tenant answers queries:
//! `scripts/with-postgres cargo run --profile dist -p user-projections --example directory [users]`.
//!
//! Users are made in memory and applied in batches of 5,000, each in one transaction under row level security, as the projector
//! does when it catches up. Then each query runs many times, each time in its own read transaction, as in a request.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "the tests count rows, too")]
#[path = "../../crm/tests/crm/stage.rs"]
mod stage;
#[allow(dead_code, reason = "the tests tell things late, too")]
#[path = "../../crm/tests/crm/story.rs"]
mod story;

use std::time::{Duration, Instant};

use kernel::TenantId;
use sqlx::{Connection, Executor, PgConnection};
use user_aggregates::{GroupId, Login, Profile, UserEvent, UserGroupJoined, UserRegistered};
use user_projections::people::{self, PersonFilter, PersonOrder};

use crate::stage::Stage;
use crate::story::{Story, day, id};

/// The projector's batch when it reads the log.
const BATCH: usize = 5_000;
/// How often each query runs.
const TIMES: usize = 300;

const GIVEN: [&str; 20] = [
    "Ada",
    "Grace",
    "Hedy",
    "Katherine",
    "Dorothy",
    "Mary",
    "Annie",
    "Radia",
    "Barbara",
    "Frances",
    "Jean",
    "Joan",
    "Kathleen",
    "Margaret",
    "Karen",
    "Shafi",
    "Lynn",
    "Anita",
    "Susan",
    "Evelyn",
];

fn family(n: usize) -> String {
    let syllables = ["ber", "lin", "tor", "mas", "ken", "dal", "ros", "win", "hal", "fer"];
    format!("{}{}{}", syllables[n % 10], syllables[n / 10 % 10], syllables[n / 100 % 10])
}

fn story(users: usize) -> (Story, GroupId) {
    let (mut story, group) = (Story::new(), GroupId::new(id()));
    for n in 0..users {
        let (given, family) = (GIVEN[n % GIVEN.len()], family(n / GIVEN.len()));
        // Half of them here, half of them there, whatever they are called.
        let at = if (n / GIVEN.len()).is_multiple_of(2) { "example.com" } else { "example.org" };
        let user = id();
        let registered = UserRegistered {
            login: Login { email: format!("{given}.{family}.{n}@{at}").to_lowercase().into(), user_name: None },
            email_verified: true,
            profile: Profile { name: format!("{given} {family}").into(), ..Profile::default() },
            roles: vec!["member".to_owned()],
            groups: vec![],
            invitation: None,
        };
        story.add::<UserEvent>(user, day(1), registered);
        if n % 2 == 0 {
            story.add::<UserEvent>(user, day(2), UserGroupJoined { group });
        }
    }
    (story, group)
}

/// A page as in SCIM: by offset, with the total number.
async fn page(stage: &Stage, story: &Story, skipped: i64) {
    let mut times = Vec::with_capacity(TIMES);
    let (mut found, mut total) = (0, 0);
    for _ in 0..TIMES {
        let begin = Instant::now();
        let mut tables = stage.read(story.tenant).await;
        total = people::count_present(&mut tables, story.tenant).await.unwrap();
        found = people::page_present(&mut tables, story.tenant, skipped, 100).await.unwrap().len();
        tables.rollback().await.unwrap();
        times.push(begin.elapsed());
    }
    say(&format!("SCIM page after {skipped} of {total}"), found, times);
}

/// Any other query of SCIM.
async fn scim(stage: &Stage, story: &Story, what: &str, ask: impl AsyncFn(&mut PgConnection, TenantId) -> usize) {
    let mut times = Vec::with_capacity(TIMES);
    let mut found = 0;
    for _ in 0..TIMES {
        let begin = Instant::now();
        let mut tables = stage.read(story.tenant).await;
        found = ask(&mut tables, story.tenant).await;
        tables.rollback().await.unwrap();
        times.push(begin.elapsed());
    }
    say(what, found, times);
}

fn say(what: &str, found: usize, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[((TIMES - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("{what:<44} {found:>3} rows  p50 {:>7.2} ms  p99 {:>7.2} ms", at(0.5), at(0.99));
}

async fn asked(stage: &Stage, story: &Story, what: &str, filter: PersonFilter) {
    let mut times = Vec::with_capacity(TIMES);
    let mut found = 0;
    for _ in 0..TIMES {
        let begin = Instant::now();
        let mut tables = stage.read(story.tenant).await;
        let rows = people::list(&mut tables, story.tenant, &filter, PersonOrder::Name, None, 21).await.unwrap();
        tables.rollback().await.unwrap();
        times.push(begin.elapsed());
        found = rows.len();
    }
    say(what, found, times);
}

#[tokio::main]
async fn main() {
    let users = std::env::args().nth(1).map_or(100_000, |users| users.parse().unwrap());
    let (story, group) = story(users);
    let stage = Stage::of("user", user_projections::projections()).await;
    let begin = Instant::now();
    stage.apply(&story.events, BATCH).await.unwrap();
    let rate = story.events.len() as f64 / begin.elapsed().max(Duration::from_nanos(1)).as_secs_f64();
    println!("{users} users, {} events applied at {rate:.0} events/s", story.events.len());
    let mut connection = PgConnection::connect_with(&stage.database.superuser()).await.unwrap();
    connection.execute("VACUUM ANALYZE").await.unwrap();

    let search = |text: &str| PersonFilter { search: Some(text.to_owned()), ..PersonFilter::default() };
    asked(&stage, &story, "all, first page", PersonFilter::default()).await;
    // A twentieth of all users have "susan", near the end of the order, as do most of the tenth with a word beginning with "s". No user
    // matches "ada susan", nor "kat susan" and "j s", whose terms are prefixes of many words, nor "com org", of which every user has one,
    // spread over the whole order.
    for text in [
        "berlintor",
        "ada berlin",
        "ada",
        "a",
        "example",
        "ada example",
        "susan",
        "sus",
        "s",
        "susan example",
        "ada susan",
        "kat susan",
        "j s",
        "com org",
        "nobody",
        "ada.berberber.0@example.com",
    ] {
        asked(&stage, &story, &format!("search {text:?}"), search(text)).await;
    }
    let member = Some("member".to_owned());
    asked(&stage, &story, "search \"com org\" with a role", PersonFilter { role: member, ..search("com org") }).await;
    asked(
        &stage,
        &story,
        "members of a group of half the tenant",
        PersonFilter { group: Some(group), ..PersonFilter::default() },
    )
    .await;
    let email = Some("ada.berberber.0@example.com".to_owned());
    asked(&stage, &story, "by e-mail address", PersonFilter { email, ..PersonFilter::default() }).await;
    // SCIM's look-ups: by external id, and the first thousand of a filter without an index.
    scim(&stage, &story, "SCIM externalId of nobody", async |tables, tenant| {
        people::by_external_id(tables, tenant, "x77", 1_000).await.unwrap().len()
    })
    .await;
    scim(&stage, &story, "SCIM, a thousand looked through", async |tables, tenant| {
        people::page_present(tables, tenant, 0, 1_001).await.unwrap().len()
    })
    .await;
    for skipped in [0, users / 2, users.saturating_sub(100)] {
        page(&stage, &story, skipped as i64).await;
    }
}
