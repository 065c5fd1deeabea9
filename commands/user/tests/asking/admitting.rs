//! Just-in-time provisioning of users who sign in through an identity provider.

use chrono::TimeDelta;
use kernel::{Kind, NoMachines, UserId};
use user_aggregates::{GroupId, Invitation, InvitationFault, InvitationId, InvitationStatus};
use user_commands::{
    Acceptance, AdmitUser, ChangeLogin, InviteUser, Known, LockUser, LoginFields, ResendInvitation, RetireRole,
    RoleFields,
};

use super::support::*;

pub fn admit(user: Option<UserId>, roles: &[&str], managed: &[&str]) -> AdmitUser {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let (email, name) = ("ada@example.com".to_owned(), Some("Ada Lovelace".to_owned()));
    let user = user.map(|id| Known { id, email_verified: false });
    AdmitUser { user, email, name, roles: texts(roles), managed: texts(managed), senders: subjects(NoMachines) }
}

#[tokio::test]
async fn who_is_new_is_a_user_whose_address_is_verified_and_is_so_once() {
    let world = World::new().await;
    let provider = world.with_permissions(&["user:user:admit"]);
    let ada = world.done_as(&provider, &admit(None, &["member"], &["member"])).await;
    let state = world.state(ada).await;
    assert_eq!((state.profile.name.reveal().as_str(), state.email_verified), ("Ada Lovelace", true));
    assert!(state.may_sign_in() && state.roles.iter().eq(["member"]));
    let again = world.refused_as(&provider, &admit(None, &[], &[])).await;
    assert_eq!((again.kind(), again.code()), (Kind::Conflict, "login_taken"));
    // An invalid name is no reason to refuse the sign-in.
    for name in [None, Some("\u{202e}ada".to_owned()), Some(" ".to_owned()), Some("x".repeat(5_000))] {
        let world = World::new().await;
        let ada = world.done_as(&provider_of(&world), &AdmitUser { name, ..admit(None, &[], &[]) }).await;
        assert_eq!(world.state(ada).await.profile.name.reveal(), "ada@example.com");
    }
    let nameless = AdmitUser { email: "ada".to_owned(), ..admit(None, &[], &[]) };
    assert_eq!(world.refused_as(&provider, &nameless).await.errors()[0].pointer, "/email");
}

pub fn provider_of(world: &World) -> executor::Request {
    world.with_permissions(&["user:user:admit"])
}

#[tokio::test]
async fn roles_of_the_provider_come_and_go_as_it_says_and_others_stay() {
    let world = World::new().await;
    let provider = provider_of(&world);
    let ada = world.user("ada", &["auditor", "viewer"]).await;
    let managed = ["viewer", "manager"];
    world.done_as(&provider, &admit(Some(ada), &["manager"], &managed)).await;
    assert!(world.state(ada).await.roles.iter().eq(["auditor", "manager"]));
    let head = world.store.head().await.unwrap();
    world.done_as(&provider, &admit(Some(ada), &["manager"], &managed)).await;
    assert_eq!(world.store.head().await.unwrap(), head, "what they have already is no event");
    // A role that was retired after it was mapped is ignored.
    let fields = RoleFields { title: "Support".to_owned(), permissions: vec![], includes: vec![] };
    let define = user_commands::DefineRole { name: "support".to_owned(), fields, catalogue: catalogue() };
    world.done(&define).await;
    world.done(&RetireRole { name: "support".to_owned(), catalogue: catalogue() }).await;
    world.done_as(&provider, &admit(Some(ada), &["support", "viewer"], &["support", "viewer", "manager"])).await;
    assert!(world.state(ada).await.roles.iter().eq(["auditor", "viewer"]));
}

#[tokio::test]
async fn attack_107_what_is_said_of_an_address_is_given_to_nobody_else_than_whose_it_is() {
    let world = World::new().await;
    let provider = provider_of(&world);
    let mule = world.user("mule", &[]).await;
    let verified = |email_verified| {
        let user = Some(Known { id: mule, email_verified });
        AdmitUser { user, ..admit(None, &["admin"], &["admin"]) }
    };
    // The user whom the caller looked up does not have the asserted address any more, whether it was read as verified or not.
    for known in [true, false] {
        let refusal = world.refused_as(&provider, &verified(known)).await;
        assert_eq!((refusal.kind(), refusal.code()), (Kind::Conflict, "login_changed"));
    }
    let login = LoginFields { email: "ada@example.com".to_owned(), user_name: None };
    world.done(&ChangeLogin { user: mule, login, catalogue: catalogue() }).await;
    // The caller read the address as verified, so it did not check who else can sign in to the account.
    assert_eq!(world.refused_as(&provider, &verified(true)).await.code(), "login_changed");
    world.done_as(&provider, &verified(false)).await;
    let state = world.state(mule).await;
    assert!(state.email_verified && state.roles.contains("admin"), "{state:?}");
    world.done_as(&provider, &verified(true)).await;
}

#[tokio::test]
async fn who_was_locked_meanwhile_is_left_as_they_are_and_the_last_owner_stays_one() {
    let world = World::new().await;
    let provider = provider_of(&world);
    let ada = world.user("ada", &["admin"]).await;
    let refusal = world.refused_as(&provider, &admit(Some(ada), &[], &["admin"])).await;
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Conflict, "last_owner"));
    world.user("grace", &["admin"]).await;
    world.done(&LockUser { user: ada, reason: "lost phone".to_owned(), catalogue: catalogue() }).await;
    let head = world.store.head().await.unwrap();
    world.done_as(&provider, &admit(Some(ada), &["manager"], &["admin", "manager"])).await;
    assert_eq!(world.store.head().await.unwrap(), head, "something was written");
}

/// Ada's invitation by a manager, and the manager.
async fn invited(world: &World, group: GroupId) -> (InvitationId, UserId) {
    let grace = world.user("grace", &["manager"]).await;
    let invite = InviteUser {
        email: "ada@example.com".to_owned(),
        name: None,
        roles: vec!["member".to_owned(), "viewer".to_owned()],
        groups: vec![group],
        catalogue: catalogue(),
    };
    (world.done_as(&world.with_all_permissions(grace), &invite).await, grace)
}

#[tokio::test]
async fn who_is_invited_and_comes_by_the_provider_gets_what_the_invitation_gives() {
    let world = World::new().await;
    let group = world.group("Sales", &[]).await;
    let (invitation, _) = invited(&world, group).await;
    let ada = world.done_as(&provider_of(&world), &admit(None, &["manager"], &["manager", "viewer"])).await;
    let state = world.state(ada).await;
    assert!(state.roles.iter().eq(["manager", "member"]), "the provider does not give viewer: {:?}", state.roles);
    assert!(state.groups.iter().eq([&group]) && state.invitation == Some(invitation));
    let accepted = world.load::<Invitation>(invitation).await;
    assert_eq!((accepted.status, accepted.user), (InvitationStatus::Accepted, Some(ada)));
    let follower = world.with_permissions(&["user:invitation:accept"]);
    let late = world.done_as(&follower, &accept(invitation, 1)).await;
    assert_eq!(late, Acceptance::Refused { reason: InvitationFault::Used });
}

#[tokio::test]
async fn an_invitation_that_another_process_has_sent_again_is_not_taken_for_expired() {
    let world = World::new().await;
    let (invitation, _) = invited(&world, world.group("Sales", &[]).await).await;
    world.clock.advance(TimeDelta::days(7));
    // By another process, of which this one's cache knows nothing yet.
    let resend = ResendInvitation { invitation, catalogue: catalogue() };
    world.elsewhere().execute(&world.request, &resend).await.unwrap();
    let ada = world.done_as(&provider_of(&world), &admit(None, &[], &[])).await;
    assert_eq!(world.state(ada).await.invitation, Some(invitation));
}

#[tokio::test]
async fn attack_199_an_invitation_that_may_not_be_accepted_gives_nothing_by_the_provider_either() {
    for expires in [false, true] {
        let world = World::new().await;
        let group = world.group("Sales", &[]).await;
        let (invitation, grace) = invited(&world, group).await;
        if expires {
            world.clock.advance(TimeDelta::days(7));
        } else {
            let (reason, catalogue) = ("left".to_owned(), catalogue());
            world.done(&LockUser { user: grace, reason, catalogue }).await;
        }
        let ada = world.done_as(&provider_of(&world), &admit(None, &[], &[])).await;
        let state = world.state(ada).await;
        assert!(state.roles.is_empty() && state.groups.is_empty() && state.invitation.is_none(), "{state:?}");
        assert_eq!(world.load::<Invitation>(invitation).await.status, InvitationStatus::Pending);
    }
}
