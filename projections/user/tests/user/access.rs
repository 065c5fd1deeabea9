//! Access of users as of any time, and its changes between two times.

use std::collections::BTreeSet;

use kernel::{Grant, Role, UserId};
use user_aggregates::{
    GroupCreated, GroupDissolved, GroupEvent, GroupId, GroupRoleGranted, RoleChanged, RoleDefined, RoleEvent,
    RoleRetired, UserEvent, UserGroupJoined, UserLocked, UserRoleGranted, UserRoleRevoked, UserUnlocked,
};
use user_projections::access::{self, Access, Policy};
use user_projections::{AsOf, RolePeriod};

use crate::directory::user;
use crate::stage::Stage;
use crate::story::{Story, day, id};

pub const GRANTS: &[Grant] = &[
    Grant { permission: "a:lead:read", roles: &[Role::Admin, Role::Viewer], meaning: "" },
    Grant { permission: "a:lead:write", roles: &[Role::Admin], meaning: "" },
    Grant { permission: "a:lead:erase", roles: &[Role::Admin], meaning: "" },
];

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

pub fn set(list: &[&str]) -> BTreeSet<String> {
    texts(list).into_iter().collect()
}

fn permissions(access: Option<Access>) -> Vec<String> {
    access.unwrap().permissions.into_keys().collect()
}

/// Grace: a viewer; from day 3 a seller, who may write from day 5 on; from day 7 in a group that gives eraser, which is retired
/// on day 9; locked on day 11, unlocked on day 13; no viewer any more from day 15.
pub fn graces_story() -> (Story, UserId) {
    let mut story = Story::new();
    let grace = user(&mut story, "Grace", &["viewer"]);
    let (seller, eraser, group) = (id(), id(), id());
    let defined = |name: &str, permissions: &[&str], includes: &[&str]| RoleDefined {
        name: name.to_owned(),
        title: name.to_owned(),
        permissions: texts(permissions),
        includes: texts(includes),
    };
    story.add::<RoleEvent>(seller, day(1), defined("seller", &[], &[]));
    story.add::<RoleEvent>(eraser, day(1), defined("eraser", &["a:lead:erase"], &["seller"]));
    story.add::<GroupEvent>(group, day(1), GroupCreated { name: "Erasers".to_owned(), roles: vec![] });
    story.add::<GroupEvent>(group, day(2), GroupRoleGranted { role: "eraser".to_owned() });
    story.add::<UserEvent>(grace, day(3), UserRoleGranted { role: "seller".to_owned() });
    let (title, permissions, includes) = ("Seller".to_owned(), texts(&["a:lead:write"]), vec![]);
    story.add::<RoleEvent>(seller, day(5), RoleChanged { title, permissions, includes });
    story.add::<UserEvent>(grace, day(7), UserGroupJoined { group: GroupId::new(group) });
    story.add::<RoleEvent>(eraser, day(9), RoleRetired {});
    story.add::<UserEvent>(grace, day(11), UserLocked { reason: "x".to_owned() });
    story.add::<UserEvent>(grace, day(13), UserUnlocked {});
    story.add::<UserEvent>(grace, day(15), UserRoleRevoked { role: "viewer".to_owned() });
    story.add::<GroupEvent>(group, day(17), GroupDissolved {});
    (story, UserId::new(grace))
}

#[tokio::test]
async fn what_a_user_might_do_at_a_time_is_what_their_roles_allowed_then() {
    let (story, grace) = graces_story();
    for batch in [1, 100] {
        let stage = Stage::fresh().await;
        stage.apply(&story.events, batch).await.unwrap();
        let mut tables = stage.read(story.tenant).await;
        let mut at = async |as_of| access::access(&mut tables, story.tenant, grace, GRANTS, as_of).await.unwrap();
        assert_eq!(at(AsOf::at(day(0))).await, None, "she was not there");
        for (when, expected) in [
            (2, &["a:lead:read"][..]),
            (4, &["a:lead:read"]),
            (6, &["a:lead:read", "a:lead:write"]),
            (8, &["a:lead:erase", "a:lead:read", "a:lead:write"]),
            (10, &["a:lead:read", "a:lead:write"]),
            (12, &[]),
            (14, &["a:lead:read", "a:lead:write"]),
            (16, &["a:lead:write"]),
        ] {
            assert_eq!(permissions(at(AsOf::at(day(when))).await), expected, "on day {when}");
        }
        assert_eq!(permissions(at(AsOf::TODAY).await), ["a:lead:write"]);
        let access = at(AsOf::at(day(8))).await.unwrap();
        assert_eq!(access.permissions["a:lead:write"], set(&["eraser", "seller"]), "by which roles");
    }
}

#[tokio::test]
async fn an_access_review_names_who_gained_and_lost_what() {
    let (mut story, grace) = graces_story();
    let same = user(&mut story, "Same", &["viewer"]);
    story.add::<UserEvent>(same, day(6), UserRoleGranted { role: "viewer_too".to_owned() });
    let late = id();
    story.add::<UserEvent>(late, day(8), crate::directory::registered("Late", "late@example.com", &["admin"]));
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 100).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    let mut review = async |from, to, after, limit| {
        let times = (AsOf::at(day(from)), AsOf::at(day(to)));
        access::changes(&mut tables, story.tenant, GRANTS, times, &[], after, limit).await.unwrap()
    };
    let found = review(2, 16, None, 10).await;
    assert_eq!(found.more_after, None);
    let told: Vec<_> = found.changes.iter().map(|change| (change.user, &change.gained, &change.lost)).collect();
    let all = set(&["a:lead:erase", "a:lead:read", "a:lead:write"]);
    let (gained, lost, none) = (set(&["a:lead:write"]), set(&["a:lead:read"]), set(&[]));
    assert_eq!(told, [(grace, &gained, &lost), (UserId::new(late), &all, &none)]);
    assert_eq!(review(2, 4, None, 10).await.changes, [], "a role that allows nothing changes nothing");
    let first = review(2, 16, None, 1).await;
    assert_eq!(first.changes.len(), 1);
    let second = review(2, 16, first.more_after, 1).await;
    assert_eq!(second.changes[0].user, UserId::new(late));
}

#[tokio::test]
async fn an_access_review_has_machines_among_the_people_by_id() {
    let (story, grace) = graces_story();
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 100).await.unwrap();
    // Subjects before and after her in the order of ids, and one whose roles never changed.
    let (first, last, same) = (uuid::Uuid::from_u128(1), uuid::Uuid::max(), uuid::Uuid::from_u128(2));
    let role_period = |subject, from, to: Option<i64>, roles: &[&str]| RolePeriod {
        subject,
        from: day(from),
        to: to.map(day),
        roles: set(roles),
    };
    let role_periods = [
        role_period(first, 1, Some(5), &["viewer"]),
        role_period(first, 5, None, &["eraser"]),
        role_period(same, 1, None, &["admin"]),
        role_period(last, 3, Some(9), &["viewer"]),
        role_period(last, 9, None, &[]),
    ];
    let mut tables = stage.read(story.tenant).await;
    let mut review = async |from, to, after, limit| {
        let times = (AsOf::at(day(from)), AsOf::at(day(to)));
        access::changes(&mut tables, story.tenant, GRANTS, times, &role_periods, after, limit).await.unwrap()
    };
    let (erase, read, write) = (set(&["a:lead:erase", "a:lead:write"]), set(&["a:lead:read"]), set(&["a:lead:write"]));
    let none = set(&[]);
    let told = |found: &access::AccessChanges| -> Vec<_> {
        found.changes.iter().map(|change| (change.user, change.gained.clone(), change.lost.clone())).collect()
    };
    // On day 8 there is a role eraser, which includes seller; the last one is registered on day 3 and out from day 9 on.
    let found = review(2, 8, None, 10).await;
    let graces = set(&["a:lead:erase", "a:lead:write"]);
    assert_eq!(
        told(&found),
        [
            (UserId::new(first), erase, read.clone()),
            (grace, graces, none.clone()),
            (UserId::new(last), read.clone(), none.clone()),
        ]
    );
    assert_eq!(found.more_after, None);
    // What a role allows changed: eraser was retired on day 9.
    let found = review(8, 16, None, 10).await;
    let of = |user: UserId| told(&found).into_iter().find(|(who, ..)| *who == user);
    assert_eq!(
        of(UserId::new(first)),
        Some((UserId::new(first), none.clone(), set(&["a:lead:erase", "a:lead:write"])))
    );
    assert_eq!(of(UserId::new(last)), Some((UserId::new(last), none, read)));
    assert_eq!(of(UserId::new(same)), None);
    assert!(of(grace).is_some_and(|(_, _, lost)| !lost.contains(write.first().unwrap())));
    // Page by page, each once.
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = review(2, 8, after, 1).await;
        seen.extend(page.changes.iter().map(|change| change.user));
        after = page.more_after;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, [UserId::new(first), grace, UserId::new(last)]);
}

#[tokio::test]
async fn as_known_then_what_was_told_late_was_not_known() {
    let mut story = Story::new();
    let grace = user(&mut story, "Grace", &["viewer"]);
    story.add_late::<UserEvent>(grace, day(3), day(9), UserRoleGranted { role: "admin".to_owned() });
    let stage = Stage::fresh().await;
    stage.apply(&story.events, 100).await.unwrap();
    let mut tables = stage.read(story.tenant).await;
    for (known, expected) in [(Some(day(5)), 1), (None, 3)] {
        let as_of = AsOf { at: Some(day(5)), known };
        let access = access::access(&mut tables, story.tenant, UserId::new(grace), GRANTS, as_of).await.unwrap();
        assert_eq!(permissions(access).len(), expected);
    }
}

#[test]
fn roles_that_include_each_other_in_a_circle_allow_what_both_allow() {
    let role = |name: &str, permission: &str, includes: &str| (name.to_owned(), set(&[permission]), set(&[includes]));
    let policy = Policy::of(GRANTS, [role("a", "p:a:a", "b"), role("b", "p:b:b", "a")]);
    assert_eq!(policy.allows(["a"]).into_iter().collect::<Vec<_>>(), ["p:a:a", "p:b:b"]);
    assert_eq!(policy.allows(["nobody"]).len(), 0);
    assert_eq!(policy.allows(["viewer"]).into_iter().collect::<Vec<_>>(), ["a:lead:read"]);
}
