//! Lists of open sessions, and the time of their last use.

use auth_aggregates::{
    AccountEvent, Place, SessionConfirmed, SessionEvent, SessionStarted, SessionUsed, SessionsEnded,
};
use auth_projections::sessions::{of_user, open_of};
use chrono::TimeDelta;
use kernel::UserId;
use uuid::Uuid;

use crate::stage::Stage;
use crate::story::{Story, day, id};

/// A session of a user from a day on, for fourteen days.
fn begins(story: &mut Story, user: Uuid, from: i64) -> Uuid {
    begins_in(story, user, from, None)
}

/// The same, with an era.
fn begins_in(story: &mut Story, user: Uuid, from: i64, era: Option<u32>) -> Uuid {
    let (session, user) = (id(), UserId::new(user));
    let methods = vec!["pwd".to_owned()];
    let (at, expires_at) = (day(from), day(from + 14));
    let started =
        SessionStarted { user, methods, at, expires_at, place: Place::default(), saml: None, era, replaces: None };
    story.add::<SessionEvent>(session, at, started);
    session
}

#[tokio::test]
async fn sessions_that_rested_for_too_long_are_not_shown_as_open() {
    let (mut story, user) = (Story::new(), id());
    let rested = begins(&mut story, user, 0);
    let used = begins(&mut story, user, 0);
    let confirmed = begins(&mut story, user, 0);
    story.add::<SessionEvent>(used, day(5), SessionUsed { at: day(5) });
    // Recorded late: the session was used after that time.
    story.add::<SessionEvent>(used, day(6), SessionUsed { at: day(4) });
    let again = SessionConfirmed { methods: vec!["otp".to_owned()], at: day(4) };
    story.add::<SessionEvent>(confirmed, day(4), again);
    for batch in [1, 100] {
        let stage = Stage::fresh().await;
        stage.apply(&story.events, batch).await.unwrap();
        let open = async |at: i64, idle: TimeDelta| {
            let mut tables = stage.read(story.tenant).await;
            let rows = open_of(&mut tables, story.tenant, user, day(at), idle, 10).await.unwrap();
            rows.into_iter().map(|row| row.session_id).collect::<Vec<_>>()
        };
        assert_eq!(open(1, TimeDelta::days(3)).await, [confirmed, used, rested]);
        assert_eq!(open(6, TimeDelta::days(3)).await, [confirmed, used]);
        assert_eq!(open(7, TimeDelta::days(3)).await, [used]);
        assert_eq!(open(8, TimeDelta::days(3)).await, Vec::<Uuid>::new());
        assert_eq!(open(13, TimeDelta::days(14)).await, [confirmed, used, rested]);
        assert_eq!(open(14, TimeDelta::days(14)).await, Vec::<Uuid>::new(), "however long they may rest");
        let mut tables = stage.read(story.tenant).await;
        let (rows, _) = of_user(&mut tables, story.tenant, user, None, 10).await.unwrap();
        let last: Vec<_> = rows.iter().map(|row| row.used_at).collect();
        assert_eq!(last, [day(4), day(5), day(0)]);
    }
}

#[tokio::test]
async fn what_ends_all_sessions_ends_those_of_its_era_whatever_their_clocks_said() {
    let (mut story, user) = (Story::new(), id());
    let told = begins(&mut story, user, 1);
    let ahead = begins_in(&mut story, user, 5, Some(0));
    let ended = SessionsEnded { at: day(2), reason: "locked".to_owned(), era: Some(0) };
    story.add::<AccountEvent>(user, day(2), ended);
    let (behind, uncounted) = (begins_in(&mut story, user, 0, Some(1)), begins(&mut story, user, 3));
    for batch in [1, 100] {
        let stage = Stage::fresh().await;
        stage.apply(&story.events, batch).await.unwrap();
        let mut tables = stage.read(story.tenant).await;
        let open = open_of(&mut tables, story.tenant, user, day(3), TimeDelta::days(9), 10).await.unwrap();
        let open: Vec<_> = open.into_iter().map(|row| row.session_id).collect();
        assert_eq!(open, [uncounted, behind]);
        let (rows, ended) = of_user(&mut tables, story.tenant, user, None, 10).await.unwrap();
        let ended = ended.unwrap();
        let ended: Vec<_> = rows.iter().filter(|row| ended.ended(row)).map(|row| row.session_id).collect();
        assert_eq!(ended, [ahead, told]);
    }
}
