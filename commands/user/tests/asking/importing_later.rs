//! Imports of users that run later than they were requested, as those of jobs: they give no more than the requester still may.

use chrono::TimeDelta;
use executor::Request;
use importing::RequestAge;
use kernel::{IdSource, Kind, MachineStanding, Machines, NoMachines, Role, SystemIds};
use user_commands::{DeactivateUser, RevokeRole, UserImport};

use super::importing::{many, users};
use super::support::*;

/// An import of users that was requested now and runs later.
fn later(machines: impl Machines + 'static) -> UserImport {
    UserImport { age: Some(RequestAge::from_now(TimeDelta::zero())), requesters: subjects(machines), ..users() }
}

/// A file with one user, who has this role.
fn one(name: &str, role: &str) -> String {
    format!("email,name,roles\n{name}@example.com,{name},{role}\n")
}

#[tokio::test]
async fn what_is_imported_later_gives_no_more_than_whoever_asked_still_may() {
    let world = World::new().await;
    let boss = world.user("boss", &["manager", "admin"]).await;
    world.user("other", &["admin"]).await;
    let (request, later) = (world.with_all_permissions(boss), later(NoMachines));
    assert_eq!(world.import_as(&request, &one("first", "admin"), &later).await.unwrap().answer.taken, 1);
    let revoke = |role: &str| RevokeRole { user: boss, role: role.to_owned(), catalogue: catalogue() };
    world.done(&revoke("admin")).await;
    let refusal = world.import_refused(&request, one("second", "admin").as_bytes(), &later).await;
    assert_eq!(refusal.extra()["row_errors"][0]["code"], "exceeds_own_permissions");
    world.done(&revoke("manager")).await;
    let refusal = world.import_refused(&request, one("third", "admin").as_bytes(), &later).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Forbidden, "importer_not_allowed"));
    world.done(&DeactivateUser { user: boss, reason: None, catalogue: catalogue() }).await;
    let refusal = world.import_refused(&request, one("fourth", "admin").as_bytes(), &later).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Forbidden, "importer_inactive"));
    // A permission that no longer exists is not granted.
    let tenant = world.request.caller.tenant();
    assert!(!catalogue().holder(tenant, "x", &["crm:moon:write".to_owned()]).may("crm:moon:write"));
}

#[tokio::test]
async fn who_has_only_roles_of_the_tenants_own_imports_later_what_every_user_may() {
    let world = World::new().await;
    world.done(&role("desk", &of_members_and(&["user:import:write", "user:user:write"]), &[])).await;
    let desk = world.user("desk", &["desk"]).await;
    let request = world.with_all_permissions(desk);
    let report = world.import_as(&request, &one("ada", "member"), &later(NoMachines)).await.unwrap().answer;
    assert_eq!((report.taken, report.error_count), (1, 0));
}

#[tokio::test]
async fn what_a_machine_imports_later_gives_no_more_than_it_still_may() {
    let world = World::new().await;
    let (machine, machines) = (SystemIds.next(), MachinesDouble::default());
    let is = |active, roles: &[&str]| {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        *machines.0.lock().unwrap() = Some((machine, MachineStanding { active, roles }));
    };
    let (request, later) = (world.with_all_permissions(machine), later(machines.clone()));
    is(true, &["admin"]);
    assert_eq!(world.import_as(&request, &one("first", "admin"), &later).await.unwrap().answer.taken, 1);
    is(true, &["manager"]);
    let refusal = world.import_refused(&request, one("second", "admin").as_bytes(), &later).await;
    assert_eq!(refusal.extra()["row_errors"][0]["code"], "exceeds_own_permissions");
    is(true, &["member"]);
    let refusal = world.import_refused(&request, one("third", "admin").as_bytes(), &later).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Forbidden, "importer_not_allowed"));
    is(false, &["admin"]);
    let refusal = world.import_refused(&request, one("fourth", "admin").as_bytes(), &later).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Forbidden, "importer_inactive"));
}

#[tokio::test]
async fn of_whom_there_is_only_a_tokens_word_it_is_taken_for_an_hour() {
    let world = World::new().await;
    let later = later(NoMachines);
    for (nth, subject) in ["somebody@elsewhere".to_owned(), SystemIds.next().to_string()].into_iter().enumerate() {
        let request = world.with_all_permissions(&subject);
        let csv = many(nth + 1);
        assert_eq!(world.import_as(&request, &csv, &later).await.unwrap().answer.taken, 1, "{subject}");
        let old = UserImport { age: Some(RequestAge::from_now(TimeDelta::minutes(61))), ..later.clone() };
        let refusal = world.import_refused(&request, b"email,name\nx@example.com,X\n", &old).await;
        assert_eq!((refusal.kind(), refusal.code()), (Kind::Forbidden, "importer_unknown"));
    }
}

#[tokio::test]
async fn a_role_that_includes_very_many_stops_no_import_of_an_administrator() {
    let world = World::new().await;
    let keeper = world.with_permissions(&["user:role:write"]);
    world.done(&role("badge", &[], &[])).await;
    let boss = world.user("boss", &["manager", "admin"]).await;
    world.user("other", &["admin"]).await;
    world.include_very_many(&keeper, "badge").await;
    let (request, later) = (world.with_all_permissions(boss), later(NoMachines));
    for (name, what) in [("ada", &users()), ("grace", &later)] {
        let report = world.import_as(&request, &one(name, "badge"), what).await.unwrap().answer;
        assert_eq!((report.taken, report.error_count), (1, 0), "{name}");
    }
    // What the role gives is not known, so nobody else gives it, nor who is an administrator no more.
    let refused = async |request: &Request, what: &UserImport| {
        let refusal = world.import_refused(request, one("hedy", "badge").as_bytes(), what).await;
        assert_eq!((refusal.kind(), refusal.code()), (Kind::Unprocessable, "too_many_roles"));
    };
    refused(&world.as_roles(&[Role::Manager]), &users()).await;
    world.done(&RevokeRole { user: boss, role: "admin".to_owned(), catalogue: catalogue() }).await;
    refused(&request, &later).await;
}
