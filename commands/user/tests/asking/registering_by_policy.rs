//! Self-registration according to the tenant's registration policy.

use chrono::Duration;
use executor::Request;
use kernel::{Kind, Role};
use user_aggregates::{Invitation, InvitationFault, InvitationStatus, OpenTo, RegistrationPolicy, User};
use user_commands::{
    Acceptance, ClaimDomain, InviteUser, NoteDomainRecordMissing, Registration, RequestRegistration,
    SetRegistrationPolicy, VerifyDomain,
};

use super::admitting::{admit, provider_of};
use super::support::*;

fn policy(open_to: OpenTo, domains: &[&str], roles: &[&str]) -> SetRegistrationPolicy {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    SetRegistrationPolicy { open_to, domains: owned(domains), roles: owned(roles), catalogue: catalogue() }
}

fn asked(email: &str) -> RequestRegistration {
    RequestRegistration { email: email.to_owned() }
}

/// An anonymous visitor of the registration page.
fn stranger(world: &World) -> Request {
    world.with_permissions(&["user:registration:request"])
}

/// The invitations of the tenant, in order of their ids, which is that in which they were made.
async fn invitations(world: &World) -> Vec<(user_aggregates::InvitationId, Invitation)> {
    let mut found = Vec::new();
    for event in world.store.read_after(kernel::Position::START, 1_000).await.unwrap() {
        if event.event_type == "user.invitation.sent" {
            let id: user_aggregates::InvitationId = event.aggregate_id.parse().unwrap();
            found.push((id, world.load::<Invitation>(id).await));
        }
    }
    found
}

#[tokio::test]
async fn a_policy_is_as_it_is_set_and_gives_no_more_than_whoever_sets_it_has() {
    let world = World::new().await;
    world.done(&policy(OpenTo::Domains, &["Bücher.example", "example.com"], &["viewer"])).await;
    let state = world.load::<RegistrationPolicy>(world.request.caller.tenant()).await;
    assert_eq!((state.open_to, state.roles), (OpenTo::Domains, vec!["viewer".to_owned()]));
    assert_eq!(state.domains, ["example.com", "xn--bcher-kva.example"]);
    for (wrong, pointer) in [
        (policy(OpenTo::Domains, &[], &[]), "/domains"),
        (policy(OpenTo::Everybody, &["example.com"], &[]), "/domains"),
        (policy(OpenTo::Domains, &["example.com", "com"], &[]), "/domains/1"),
        (policy(OpenTo::Everybody, &[], &["nobodys", "member"]), "/roles/0"),
    ] {
        let refusal = world.refused(&wrong).await;
        assert_eq!(refusal.errors()[0].pointer, pointer, "{refusal}");
    }
    let manager = world.with_permissions(&["user:registration_policy:write", "user:user:read"]);
    let refusal = world.refused_as(&manager, &policy(OpenTo::Everybody, &[], &["admin"])).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Forbidden, "exceeds_own_permissions"));
    let refusal = world.refused_as(&world.as_roles(&[Role::Manager]), &policy(OpenTo::Everybody, &[], &[])).await;
    assert_eq!(refusal.code(), "permission_missing");
}

#[tokio::test]
async fn nobody_registers_where_no_policy_lets_them_and_nothing_is_written() {
    let world = World::new().await;
    let before = world.store.head().await.unwrap();
    assert_eq!(world.done_as(&stranger(&world), &asked("ada@example.com")).await, Registration::Refused);
    assert_eq!(world.store.head().await.unwrap(), before);
    world.done(&policy(OpenTo::Domains, &["example.com"], &[])).await;
    let before = world.store.head().await.unwrap();
    for other in ["ada@example.org", "ada@sub.example.com", "ada@example.com.evil.example"] {
        assert_eq!(world.done_as(&stranger(&world), &asked(other)).await, Registration::Refused, "{other}");
    }
    assert_eq!(world.store.head().await.unwrap(), before);
    assert_eq!(world.refused_as(&stranger(&world), &asked("ada")).await.errors()[0].pointer, "/email");
}

#[tokio::test]
async fn who_registers_is_invited_by_the_policy_with_its_roles_once_and_again_after_a_while() {
    let world = World::new().await;
    world.done(&policy(OpenTo::Everybody, &[], &["viewer"])).await;
    let stranger = stranger(&world);
    assert_eq!(world.done_as(&stranger, &asked("Ada@Example.com")).await, Registration::Invited);
    let before = world.store.head().await.unwrap();
    assert_eq!(world.done_as(&stranger, &asked("ada@example.com")).await, Registration::Invited);
    assert_eq!(world.store.head().await.unwrap(), before, "a second mail at once");
    world.clock.advance(Duration::minutes(10));
    assert_eq!(world.done_as(&stranger, &asked("ada@example.com")).await, Registration::Invited);
    let [(id, sent)] = &invitations(&world).await[..] else { panic!("not one invitation") };
    assert!(sent.by_policy && sent.turn == 2 && sent.roles == ["viewer"], "{sent:?}");
    let follower = world.with_permissions(&["user:invitation:accept"]);
    let accept = accept(*id, 2);
    let Acceptance::Accepted { user } = world.done_as(&follower, &accept).await else { panic!("it was refused") };
    let state = world.state(user).await;
    assert!(state.email_verified && state.roles.contains("viewer") && state.roles.len() == 1, "{state:?}");
}

#[tokio::test]
async fn who_registers_and_comes_by_the_provider_gets_what_the_policy_gives_still() {
    for (open_to, roles, status) in [
        (OpenTo::Everybody, &["viewer"][..], InvitationStatus::Accepted),
        (OpenTo::Nobody, &[], InvitationStatus::Pending),
    ] {
        let world = World::new().await;
        world.done(&policy(OpenTo::Everybody, &[], &["member", "viewer"])).await;
        world.done_as(&stranger(&world), &asked("ada@example.com")).await;
        world.done(&policy(open_to, &[], roles)).await;
        let ada = world.done_as(&provider_of(&world), &admit(None, &["manager"], &["manager"])).await;
        let expected = [&["manager"][..], roles].concat();
        assert!(world.state(ada).await.roles.iter().eq(&expected), "{open_to:?}");
        let [(_, sent)] = &invitations(&world).await[..] else { panic!("not one invitation") };
        assert_eq!(sent.status, status);
    }
}

#[tokio::test]
async fn attack_141_who_keeps_asking_for_an_account_makes_no_link_worthless_that_was_mailed_before() {
    let world = World::new().await;
    world.done(&policy(OpenTo::Everybody, &[], &["viewer"])).await;
    let stranger = stranger(&world);
    world.done_as(&stranger, &asked("ada@example.com")).await;
    for _ in 0..2 {
        world.clock.advance(Duration::minutes(10));
        world.done_as(&stranger, &asked("ada@example.com")).await;
    }
    // The first link arrived late, and is still valid.
    let [(id, sent)] = &invitations(&world).await[..] else { panic!("not one invitation") };
    assert_eq!(sent.turn, 3);
    let follower = world.with_permissions(&["user:invitation:accept"]);
    let accept = |turn| accept(*id, turn);
    let accepted = world.done_as(&follower, &accept(1)).await;
    assert!(matches!(accepted, Acceptance::Accepted { .. }), "{accepted:?}");
    // Once one of the links is used, none is valid any more.
    for turn in 1..=3 {
        let refused = world.done_as(&follower, &accept(turn)).await;
        assert_eq!(refused, Acceptance::Refused { reason: InvitationFault::Used });
        let before = world.store.head().await.unwrap();
        world.refused_as(&follower, &accept(turn)).await;
        assert_eq!(world.store.head().await.unwrap(), before, "it is on record once");
    }
}

#[tokio::test]
async fn a_clock_that_was_ahead_keeps_nobody_from_a_mail() {
    let world = World::new().await;
    world.done(&policy(OpenTo::Everybody, &[], &["viewer"])).await;
    let stranger = stranger(&world);
    world.clock.advance(Duration::hours(1));
    world.done_as(&stranger, &asked("ada@example.com")).await;
    world.clock.advance(Duration::hours(-1));
    world.done_as(&stranger, &asked("ada@example.com")).await;
    let [(_, sent)] = &invitations(&world).await[..] else { panic!("not one invitation") };
    assert_eq!(sent.turn, 2);
}

#[tokio::test]
async fn who_is_a_user_already_is_told_so_once_in_a_while_and_not_invited() {
    let world = World::new().await;
    let ada = world.user("ada", &[]).await;
    world.done(&policy(OpenTo::Everybody, &[], &[])).await;
    let stranger = stranger(&world);
    assert_eq!(world.done_as(&stranger, &asked("ada@example.com")).await, Registration::Known);
    let first = world.load::<User>(ada).await.registration_noted_at;
    assert!(first.is_some());
    let before = world.store.head().await.unwrap();
    assert_eq!(world.done_as(&stranger, &asked("ada@example.com")).await, Registration::Known);
    assert_eq!(world.store.head().await.unwrap(), before);
    assert!(invitations(&world).await.is_empty());
}

#[tokio::test]
async fn a_verified_domain_lets_its_people_register_for_as_long_as_it_is_shown() {
    let world = World::new().await;
    world.done(&policy(OpenTo::VerifiedDomains, &[], &[])).await;
    let stranger = stranger(&world);
    let domain = world.done(&ClaimDomain { domain: "example.com".to_owned() }).await;
    assert_eq!(world.done_as(&stranger, &asked("ada@example.com")).await, Registration::Refused, "only claimed");
    world.done(&VerifyDomain { domain, catalogue: catalogue() }).await;
    assert_eq!(world.done_as(&stranger, &asked("ada@example.com")).await, Registration::Invited);
    assert_eq!(world.done_as(&stranger, &asked("ada@example.org")).await, Registration::Refused);
    world.done(&NoteDomainRecordMissing { domain }).await;
    assert_eq!(world.done_as(&stranger, &asked("eve@example.com")).await, Registration::Refused, "shown no more");
}

#[tokio::test]
async fn attack_158_who_looks_after_domains_lets_nobody_register_who_would_get_more_than_they_have() {
    let world = World::new().await;
    let keeper = world.with_permissions(&["user:domain:read", "user:domain:write"]);
    let domain = world.done_as(&keeper, &ClaimDomain { domain: "evil.example".to_owned() }).await;
    let verify = || VerifyDomain { domain, catalogue: catalogue() };
    let exceeds = async || {
        let refusal = world.refused_as(&keeper, &verify()).await;
        assert_eq!((refusal.kind(), refusal.code()), (Kind::Forbidden, "exceeds_own_permissions"), "{refusal}");
        let eve = asked("eve@evil.example");
        assert_eq!(world.done_as(&stranger(&world), &eve).await, Registration::Refused);
    };
    world.done(&policy(OpenTo::VerifiedDomains, &[], &["manager"])).await;
    exceeds().await;
    // Once an administrator has verified it, the keeper may look again; but not bring back what was lost.
    world.done(&verify()).await;
    world.done_as(&keeper, &verify()).await;
    world.done_as(&keeper, &NoteDomainRecordMissing { domain }).await;
    exceeds().await;
    // With a policy that gives nothing, or is not about verified domains, it gives nobody anything.
    for harmless in [policy(OpenTo::VerifiedDomains, &[], &[]), policy(OpenTo::Domains, &["example.com"], &["manager"])]
    {
        world.done(&harmless).await;
        world.done_as(&keeper, &verify()).await;
        world.done_as(&keeper, &NoteDomainRecordMissing { domain }).await;
    }
}

#[tokio::test]
async fn a_link_counts_for_what_the_policy_says_when_it_is_followed() {
    let world = World::new().await;
    world.done(&policy(OpenTo::Everybody, &[], &["member", "viewer"])).await;
    let (stranger, follower) = (stranger(&world), world.with_permissions(&["user:invitation:accept"]));
    for email in ["ada@example.com", "eve@example.com"] {
        world.done_as(&stranger, &asked(email)).await;
    }
    let found = invitations(&world).await;
    let accept = |place: usize| accept(found[place].0, 1);
    world.done(&policy(OpenTo::Everybody, &[], &["viewer", "auditor"])).await;
    let Acceptance::Accepted { user } = world.done_as(&follower, &accept(0)).await else { panic!("it was refused") };
    assert_eq!(world.state(user).await.roles.into_iter().collect::<Vec<_>>(), ["viewer"]);
    world.done(&policy(OpenTo::Nobody, &[], &[])).await;
    let before = world.store.head().await.unwrap();
    let refused = world.done_as(&follower, &accept(1)).await;
    assert_eq!(refused, Acceptance::Refused { reason: InvitationFault::Revoked });
    assert_eq!(world.store.head().await.unwrap(), before.next(), "one record");
}

#[tokio::test]
async fn a_stranger_who_asks_first_keeps_nobody_from_being_invited() {
    let world = World::new().await;
    world.done(&policy(OpenTo::Everybody, &[], &[])).await;
    world.done_as(&stranger(&world), &asked("ada@example.com")).await;
    let invite = InviteUser {
        email: "ada@example.com".to_owned(),
        name: None,
        roles: vec!["member".to_owned()],
        groups: vec![],
        catalogue: catalogue(),
    };
    world.done(&invite).await;
    let found = invitations(&world).await;
    let [(_, before), (_, now)] = &found[..] else { panic!("{} invitations", found.len()) };
    assert_eq!((before.status, now.status), (InvitationStatus::Revoked, InvitationStatus::Pending));
    assert_eq!(world.refused(&invite).await.code(), "invited_already");
}

#[tokio::test]
async fn a_policy_that_another_process_closed_lets_nobody_in_here() {
    let world = World::new().await;
    world.done(&policy(OpenTo::Everybody, &[], &["viewer"])).await;
    assert_eq!(world.done_as(&stranger(&world), &asked("ada@example.com")).await, Registration::Invited);
    let [(id, _)] = &invitations(&world).await[..] else { panic!("not one invitation") };
    world.elsewhere().execute(&world.request, &policy(OpenTo::Nobody, &[], &[])).await.unwrap();
    assert_eq!(world.done_as(&stranger(&world), &asked("bob@example.com")).await, Registration::Refused);
    let follower = world.with_permissions(&["user:invitation:accept"]);
    let accept = accept(*id, 1);
    let accepted = world.done_as(&follower, &accept).await;
    assert_eq!(accepted, Acceptance::Refused { reason: InvitationFault::Revoked });
}

#[tokio::test]
async fn what_a_person_gave_with_an_invitation_is_not_given_anew_by_asking() {
    let world = World::new().await;
    world.done(&policy(OpenTo::Everybody, &[], &["viewer"])).await;
    let roles = vec!["admin".to_owned()];
    let invite =
        InviteUser { email: "ada@example.com".into(), name: None, roles, groups: vec![], catalogue: catalogue() };
    let invited = world.done(&invite).await;
    let before = world.store.head().await.unwrap();
    world.clock.advance(Duration::hours(1));
    assert_eq!(world.done_as(&stranger(&world), &asked("ada@example.com")).await, Registration::Invited);
    assert_eq!(world.store.head().await.unwrap(), before, "their link is good, and stays so");
    world.clock.advance(Duration::days(8));
    assert_eq!(world.done_as(&stranger(&world), &asked("ada@example.com")).await, Registration::Invited);
    assert_eq!(world.load::<Invitation>(invited).await.status, InvitationStatus::Revoked);
    let [_, (_, theirs)] = &invitations(&world).await[..] else { panic!("not two invitations") };
    assert!(theirs.by_policy && theirs.roles == ["viewer"], "{theirs:?}");
}
