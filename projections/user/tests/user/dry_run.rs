//! Dry runs of policy changes on past actions.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use kernel::UserId;
use user_projections::RolePeriod;
use user_projections::dry_run::{Definition, DryRun, PolicyChange, Verdict};
use uuid::Uuid;

use crate::access::{GRANTS, graces_story, set};
use crate::stage::Stage;
use crate::story::{day, id};

const WRITE: &str = "a:lead:write";
const ERASE: &str = "a:lead:erase";

/// An hour into a day of the story.
fn on(number: i64) -> DateTime<Utc> {
    day(number) + TimeDelta::hours(1)
}

async fn run(change: PolicyChange, asked: &[(i64, &str)]) -> Vec<Verdict> {
    let (story, grace) = graces_story();
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 100).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    let mut run = DryRun::open(&mut tables, story.tenant, GRANTS, change, (day(-1), None)).await.unwrap();
    assert_eq!(run.look_up(&mut tables, story.tenant, [grace.uuid()]).await.unwrap(), [] as [Uuid; 0]);
    asked.iter().map(|(at, permissions)| run.judge(&grace.to_string(), Some(permissions), on(*at))).collect()
}

fn role(name: &str, permissions: &[&str], includes: &[&str]) -> PolicyChange {
    let definition = Definition { permissions: set(permissions), includes: set(includes) };
    PolicyChange { roles: BTreeMap::from([(name.to_owned(), Some(definition))]), ..PolicyChange::default() }
}

fn lacks(permission: &str) -> Verdict {
    Verdict::Refused(permission.to_owned())
}

#[tokio::test]
async fn each_is_judged_by_the_roles_and_groups_of_its_time() {
    let asked = [(4, WRITE), (6, WRITE), (8, ERASE), (8, WRITE), (10, WRITE), (12, WRITE), (16, WRITE)];
    // Before day 5 she had no permission to write, and on day 12 she was locked: these actions were not authorized by her roles.
    let (no, ok) = (Verdict::Otherwise, Verdict::Allowed);
    let same = [no.clone(), ok.clone(), ok.clone(), ok.clone(), ok.clone(), no.clone(), ok.clone()];
    assert_eq!(run(PolicyChange::default(), &asked).await, same);
    let less = run(role("seller", &[], &[]), &asked).await;
    let gone = lacks(WRITE);
    assert_eq!(less, [no.clone(), gone.clone(), ok.clone(), gone.clone(), gone.clone(), no.clone(), gone.clone()]);
    let eraser = run(role("eraser", &[WRITE], &[]), &asked).await;
    assert_eq!(eraser, [no.clone(), ok.clone(), lacks(ERASE), ok.clone(), ok.clone(), no, ok], "only while she had it");
}

#[tokio::test]
async fn what_needs_two_permissions_is_refused_for_want_of_either() {
    let both = format!("{WRITE} {ERASE}");
    let asked = [(8, both.as_str()), (6, both.as_str())];
    assert_eq!(run(PolicyChange::default(), &asked).await, [Verdict::Allowed, Verdict::Otherwise]);
    assert_eq!(run(role("eraser", &[], &["seller"]), &asked).await[0], lacks(ERASE));
}

#[tokio::test]
async fn machines_are_judged_by_what_is_noted_of_them_and_others_by_nothing() {
    let (story, grace) = graces_story();
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 100).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    let (machine, none) = (id(), BTreeSet::new());
    let change = PolicyChange { subjects: BTreeMap::from([(machine, none.clone())]), ..PolicyChange::default() };
    let mut run = DryRun::open(&mut tables, story.tenant, GRANTS, change, (day(-1), None)).await.unwrap();
    let unknown = run.look_up(&mut tables, story.tenant, [machine, grace.uuid()]).await.unwrap();
    assert_eq!(unknown, [machine]);
    run.note([
        RolePeriod { subject: machine, from: day(1), to: Some(day(8)), roles: set(&["admin"]) },
        RolePeriod { subject: machine, from: day(8), to: None, roles: none },
    ]);
    let machine = machine.to_string();
    assert_eq!(run.judge(&machine, Some(WRITE), on(3)), lacks(WRITE));
    // An action at the very moment of a change was authorized by the state before it.
    assert_eq!(run.judge(&machine, Some(WRITE), day(8)), lacks(WRITE));
    for (subject, permissions, at, verdict) in [
        (machine.as_str(), Some(WRITE), on(9), Verdict::Otherwise),
        (machine.as_str(), Some(WRITE), on(0), Verdict::Otherwise),
        (machine.as_str(), None, on(3), Verdict::Unrecorded),
        ("cli", Some(WRITE), on(3), Verdict::Otherwise),
        (&UserId::new(id()).to_string(), Some(WRITE), on(3), Verdict::Otherwise),
    ] {
        assert_eq!(run.judge(subject, permissions, at), verdict, "{subject} {permissions:?} {at}");
    }
}
