//! Registration, login names and erasure of users.

use chrono::Duration;
use kernel::{Caller, Clock, Kind, PostalAddress, Role};
use user_aggregates::{LinkFault, User, UserStatus};
use user_commands::{
    ChangeLogin, ChangeOwnProfile, ChangeProfile, EraseOneself, EraseUser, GRANTS, LockUser, LoginFields,
    ProfileFields, RegisterUser, RemoveUser, RequestEmailVerification, VerifyEmail,
};

use super::support::*;

fn login(email: &str, user_name: Option<&str>) -> LoginFields {
    LoginFields { email: email.to_owned(), user_name: user_name.map(str::to_owned) }
}

#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once() {
    let world = World::new().await;
    let wrong = RegisterUser {
        login: login("nobody", Some("not a name")),
        profile: ProfileFields { name: String::new(), locale: Some("?".to_owned()), ..ProfileFields::default() },
        roles: vec!["member".to_owned(); 51],
        ..user("ada", &[])
    };
    let refusal = world.refused(&wrong).await;
    let pointers: Vec<_> = refusal.errors().iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(pointers, ["/email", "/user_name", "/name", "/locale", "/roles"]);
    for (roles, groups, pointer) in [
        (vec!["nobody".to_owned(), "member".to_owned()], vec![], "/roles/0"),
        (vec![], vec![user_aggregates::GroupId::new(uuid::Uuid::nil())], "/groups/0"),
    ] {
        let refusal = world.refused(&RegisterUser { roles, groups, ..user("ada", &[]) }).await;
        assert_eq!((refusal.code(), refusal.errors()[0].pointer.as_str()), ("reference_unknown", pointer));
    }
}

#[tokio::test]
async fn what_is_typed_to_sign_in_means_one_user() {
    let world = World::new().await;
    let ada = world.done(&RegisterUser { login: login("Ada@Example.com", Some("Ada")), ..user("ada", &[]) }).await;
    for (email, user_name) in [("ada@example.com", None), ("other@example.com", Some("ADA"))] {
        let refusal = world.refused(&RegisterUser { login: login(email, user_name), ..user("eve", &[]) }).await;
        assert_eq!((refusal.kind(), refusal.code()), (Kind::Conflict, "login_taken"));
        assert_eq!(refusal.extra()["holder"], ada.to_string());
    }
    // Released login names are free for others; kept ones stay taken.
    let change =
        |email: &str, user_name| ChangeLogin { user: ada, login: login(email, user_name), catalogue: catalogue() };
    world.done(&change("countess@example.com", Some("ada"))).await;
    let grace = world.done(&RegisterUser { login: login("ada@example.com", None), ..user("grace", &[]) }).await;
    assert_eq!(world.refused(&change("ada@example.com", None)).await.extra()["holder"], grace.to_string());
    world.done(&RemoveUser { user: ada, catalogue: catalogue() }).await;
    world.done(&RegisterUser { login: login("countess@example.com", Some("ada")), ..user("hedy", &[]) }).await;
    assert_eq!(world.refused(&change("x@example.com", None)).await.code(), "user_step_not_allowed");
}

#[tokio::test]
async fn an_address_is_verified_by_the_link_that_was_sent_to_it() {
    let world = World::new().await;
    let ada = world.user("ada", &["member"]).await;
    world.done_as(&world.as_user(ada), &RequestEmailVerification { user: ada }).await;
    let follow = |turn| VerifyEmail { user: ada, turn };
    let follower = world.with_permissions(&["user:email:verify"]);
    assert_eq!(world.done_as(&follower, &follow(7)).await, Some(LinkFault::Superseded));
    world.clock.advance(Duration::hours(49));
    assert_eq!(world.done_as(&follower, &follow(1)).await, Some(LinkFault::Expired));
    assert!(!world.state(ada).await.email_verified);
    world.done_as(&world.as_user(ada), &RequestEmailVerification { user: ada }).await;
    // The use of this invalid link is recorded already.
    assert_eq!(world.refused_as(&follower, &follow(1)).await.code(), "link_not_good");
    assert_eq!(world.done_as(&follower, &follow(2)).await, None);
    assert!(world.state(ada).await.email_verified);
    // A link that is followed twice, as some mail programs do, causes no error and no event.
    let head = world.store.head().await.unwrap();
    assert_eq!(world.done_as(&follower, &follow(2)).await, None);
    assert_eq!(world.store.head().await.unwrap(), head);
    let again = world.refused_as(&world.as_user(ada), &RequestEmailVerification { user: ada }).await;
    assert_eq!(again.code(), "email_verified_already");
}

#[tokio::test]
async fn oneself_changes_ones_own_profile_and_machines_have_none() {
    let world = World::new().await;
    let ada = world.user("ada", &["viewer"]).await;
    let changed =
        ChangeOwnProfile { profile: ProfileFields { name: "Ada King".to_owned(), ..ProfileFields::default() } };
    assert_eq!(world.done_as(&world.as_user(ada), &changed).await, ada);
    assert_eq!(world.state(ada).await.profile.name.reveal(), "Ada King");
    let machine = world.as_roles(&[Role::Admin]);
    assert_eq!(world.refused_as(&machine, &changed).await.code(), "not_a_user");
}

#[tokio::test]
async fn an_address_is_kept_in_its_form_and_is_no_way_in() {
    let world = World::new().await;
    let ada = world.user("ada", &["member"]).await;
    let at = |country: &str| {
        let address = PostalAddress {
            street: Some(" 12 St James's Square ".to_owned()),
            country: Some(country.to_owned()),
            ..PostalAddress::default()
        };
        ProfileFields { name: "Ada".to_owned(), address: Some(address), ..ProfileFields::default() }
    };
    // Also with the token of a user who signed in long ago.
    let authenticated_at = world.clock.now() - Duration::hours(2);
    let old =
        world.executor.internal_request(&world.as_user(ada).caller.with_authenticated_at(Some(authenticated_at)), None);
    world.done_as(&old, &ChangeOwnProfile { profile: at("gb") }).await;
    let kept = PostalAddress {
        street: Some("12 St James's Square".to_owned()),
        country: Some("GB".to_owned()),
        ..PostalAddress::default()
    };
    assert_eq!(world.state(ada).await.profile.address, Some(kept.into()));
    let nowhere = ChangeProfile { user: ada, profile: at("England"), catalogue: catalogue() };
    let refusals = [
        world.refused(&nowhere).await,
        world.refused_as(&world.as_user(ada), &ChangeOwnProfile { profile: at("England") }).await,
    ];
    for refusal in refusals {
        assert_eq!((&*refusal.errors()[0].pointer, refusal.errors()[0].code), ("/address/country", "country"));
    }
}

#[tokio::test]
async fn an_erased_user_is_nobody_and_their_login_is_free() {
    let world = World::with_jobs().await;
    let ada = world.user("ada", &["member"]).await;
    world.done(&EraseUser { user: ada, catalogue: catalogue(), forget: forget() }).await;
    let state = world.state(ada).await;
    assert_eq!((state.status, state.profile.name.reveal().as_str()), (UserStatus::Erased, ""));
    world.user("ada", &["member"]).await;
    assert_eq!(world.refused(&RemoveUser { user: ada, catalogue: catalogue() }).await.code(), "user_step_not_allowed");
}

#[tokio::test]
async fn who_can_not_be_read_as_a_whole_is_erased_by_what_can_and_by_who_may_do_everything() {
    let world = World::with_jobs().await;
    let (ada, grace) = (world.user("ada", &["member"]).await, world.user("grace", &["admin"]).await);
    for user in [ada, grace] {
        world.insert_raw_event(user, "user.user.promoted").await;
    }
    let erase = |user| EraseUser { user, catalogue: catalogue(), forget: forget() };
    let lock = LockUser { user: ada, reason: "gone".to_owned(), catalogue: catalogue() };
    assert_eq!(world.refused(&lock).await.code(), "history_unreadable");
    // Their permissions can't be determined, and may exceed those of a caller who has all permissions of members.
    let member = GRANTS.iter().filter(|grant| grant.roles.contains(&Role::Member));
    let few: Vec<&str> = member.map(|grant| grant.permission).chain(["user:user:erase"]).collect();
    let few = world.with_permissions(&few);
    assert_eq!(world.refused_as(&few, &erase(ada)).await.code(), "exceeds_own_permissions");
    assert_eq!(world.refused(&erase(grace)).await.code(), "last_owner");
    assert_eq!(world.jobs().await, [""; 0]);

    world.done(&erase(ada)).await;
    assert_eq!(world.state(ada).await.status, UserStatus::Erased);
    let elsewhere = world.elsewhere().load::<User>(&world.request.caller, &ada.to_string()).await.unwrap().unwrap();
    assert_eq!((elsewhere.0.status, elsewhere.1), (UserStatus::Erased, 3), "who has not read it before");
    world.user("ada", &["member"]).await;
    world.done(&erase(ada)).await;
    assert_eq!(world.jobs().await, ["forget_imports"], "once");
    assert_eq!(world.refused(&lock).await.code(), "user_step_not_allowed");
}

#[tokio::test]
async fn who_can_not_be_read_as_a_whole_erases_oneself_by_the_address_that_one_is_known_to_have_taken() {
    let world = World::with_jobs().await;
    let (ada, grace) = (world.user("ada", &["admin"]).await, world.user("grace", &["member"]).await);
    world.insert_raw_event(grace, "user.user.promoted").await;
    let oneself = |email: &str| EraseOneself { email: email.to_owned(), forget: forget() };
    assert_eq!(world.refused_as(&world.as_user(grace), &oneself("ada@example.com")).await.code(), "not_confirmed");
    world.done_as(&world.as_user(grace), &oneself("grace@example.com")).await;
    assert_eq!(world.state(grace).await.status, UserStatus::Erased);

    // The event with their current address can't be decoded.
    let hedy = world.user("hedy", &["member"]).await;
    world.done(&ChangeLogin { user: hedy, login: login("hedy@example.org", None), catalogue: catalogue() }).await;
    world.retype(hedy, "user.user.login_changed", "user.user.login_replaced").await;
    let (elsewhere, as_hedy) = (world.elsewhere(), world.as_user(hedy));
    let before = world.store.head().await.unwrap();
    let refused = elsewhere.execute(&as_hedy, &oneself("ada@example.com")).await.unwrap_err();
    assert_eq!((refused.code(), world.store.head().await.unwrap()), ("not_confirmed", before));
    elsewhere.execute(&as_hedy, &oneself("hedy@example.org")).await.unwrap();
    assert_eq!(world.state(hedy).await.status, UserStatus::Erased);
    // The address is free again.
    world.done(&ChangeLogin { user: ada, login: login("hedy@example.org", None), catalogue: catalogue() }).await;
}

#[tokio::test]
async fn attack_145_who_has_a_token_of_somebody_who_signed_in_long_ago_does_not_erase_them() {
    let world = World::with_jobs().await;
    let (_, grace) = (world.user("ada", &["admin"]).await, world.user("grace", &["member"]).await);
    let oneself = EraseOneself { email: "grace@example.com".to_owned(), forget: forget() };
    let signed_in = |minutes_ago: i64| {
        let authenticated_at = world.clock.now() - Duration::minutes(minutes_ago);
        world
            .executor
            .internal_request(&world.as_user(grace).caller.with_authenticated_at(Some(authenticated_at)), None)
    };
    // An authentication time in the future, from a clock that was ahead, does not count either.
    for minutes_ago in [11, -2] {
        let refused = world.refused_as(&signed_in(minutes_ago), &oneself).await;
        assert_eq!((refused.code(), refused.kind()), ("sign_in_too_old", Kind::Unauthenticated), "{minutes_ago}");
    }
    assert_eq!((world.state(grace).await.status, world.jobs().await), (UserStatus::Active, vec![]));
    world.done_as(&signed_in(10), &oneself).await;
    assert_eq!(world.state(grace).await.status, UserStatus::Erased);
}

#[tokio::test]
async fn attack_152_who_has_a_token_of_somebody_who_signed_in_long_ago_turns_neither_their_mail_nor_their_telephone() {
    let world = World::new().await;
    let (ada, grace) = (world.user("ada", &["admin"]).await, world.user("grace", &["member"]).await);
    let signed_in = |minutes_ago: i64| {
        let caller = Caller::new(world.request.caller.tenant(), ada.to_string(), &[Role::Admin], GRANTS);
        let authenticated_at = world.clock.now() - Duration::minutes(minutes_ago);
        world.executor.internal_request(&caller.with_authenticated_at(Some(authenticated_at)), None)
    };
    let address = |user, name: &str| ChangeLogin { user, login: login(name, None), catalogue: catalogue() };
    let number = |number: &str| {
        let phone = (!number.is_empty()).then(|| number.to_owned());
        ProfileFields { name: "Ada".to_owned(), phone, ..ProfileFields::default() }
    };
    let (old, fresh) = (signed_in(11), signed_in(10));
    let own = |text: &str| ChangeOwnProfile { profile: number(text) };
    let given = |text: &str| ChangeProfile { user: ada, profile: number(text), catalogue: catalogue() };
    let refused = [
        world.refused_as(&old, &address(ada, "eve@example.com")).await,
        world.refused_as(&old, &own("+4930123456")).await,
        world.refused_as(&old, &given("+4930123456")).await,
    ];
    for refusal in refused {
        assert_eq!((refusal.code(), refusal.kind()), ("sign_in_too_old", Kind::Unauthenticated));
    }
    // Changes of other users depend on permissions alone; and a change of the name is not security-sensitive.
    world.done_as(&old, &address(grace, "hopper@example.com")).await;
    world.done_as(&old, &own("")).await;
    assert_eq!(world.state(ada).await.profile.name.reveal(), "Ada");
    world.done_as(&fresh, &own("+4930123456")).await;
    assert_eq!(world.refused_as(&old, &own("")).await.code(), "sign_in_too_old");
    world.done_as(&fresh, &address(ada, "countess@example.com")).await;
    // Machines, and bearers of tokens of the installation's own key, are not checked.
    world.done(&address(ada, "ada@example.com")).await;
}

#[tokio::test]
async fn files_are_forgotten_by_a_job_of_the_append_that_erases_and_of_no_other() {
    let world = World::with_jobs().await;
    let (ada, grace) = (world.user("ada", &["member"]).await, world.user("grace", &["member"]).await);
    let erase = |user| EraseUser { user, catalogue: catalogue(), forget: forget() };
    let oneself = |email: &str| EraseOneself { email: email.to_owned(), forget: forget() };
    assert_eq!(world.refused_as(&world.as_user(grace), &oneself("ada@example.com")).await.code(), "not_confirmed");
    assert_eq!(world.jobs().await, [""; 0]);
    world.done(&erase(ada)).await;
    assert_eq!(world.jobs().await, ["forget_imports"]);
    world.done_as(&world.as_user(grace), &oneself("grace@example.com")).await;
    assert_eq!(world.jobs().await, ["forget_imports", "forget_imports"]);
    // The user is erased already.
    world.done(&erase(ada)).await;
    assert_eq!(world.jobs().await.len(), 2);
}
