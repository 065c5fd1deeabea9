//! Pictures of users: uploaded, external, or none.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::Duration;
use executor::Request;
use kernel::{Kind, Picture, Role, UserId, Versions, picture_address};
use user_commands::{
    ChangeOwnProfile, ChangeProfile, LoginFields, PictureFields, ProfileFields, Provisioned, RegisterUser,
    RemoveOwnPicture, RemovePicture, RemoveUser, ReplaceUser, SetOwnPicture, SetPicture,
};
use uuid::Uuid;

use super::support::*;

/// The signature of a PNG file.
fn png(width: u32, height: u32) -> Vec<u8> {
    let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
    [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(), sides, vec![8, 6, 0, 0, 0]].concat()
}

fn sent(id: &str, file: &[u8]) -> PictureFields {
    PictureFields { file: STANDARD.encode(file), id: id.to_owned() }
}

/// The id of a user's uploaded picture, and the address of their external one.
async fn shown(world: &World, user: UserId) -> (Option<String>, Option<String>) {
    let state = world.state(user).await;
    let elsewhere = state.profile.picture.as_ref().map(|picture| picture.reveal().clone());
    (state.uploaded().map(str::to_owned), elsewhere)
}

#[tokio::test]
async fn a_picture_is_given_by_oneself_or_whoever_looks_after_users_and_taken_again() {
    let world = World::new().await;
    let ada = world.user("ada", &["member"]).await;
    let herself = world.as_user(ada);
    let own = |id: &str, side| SetOwnPicture { picture: sent(id, &png(side, side)) };
    let given = |id: &str, side| SetPicture { user: ada, picture: sent(id, &png(side, side)), catalogue: catalogue() };
    assert_eq!(world.done_as(&herself, &own("first", 64)).await, ada);
    assert_eq!(shown(&world, ada).await, (Some("first".to_owned()), None));
    let head = world.store.head().await.unwrap();
    world.done_as(&herself, &own("again", 64)).await;
    assert_eq!(world.store.head().await.unwrap(), head, "the same again is no event, and its address stays");
    assert_eq!(shown(&world, ada).await, (Some("first".to_owned()), None));
    world.done_as(&world.as_roles(&[Role::Manager]), &given("second", 32)).await;
    assert_eq!(shown(&world, ada).await, (Some("second".to_owned()), None));
    world.done_as(&herself, &RemoveOwnPicture).await;
    assert_eq!(shown(&world, ada).await, (None, None));
    world.done(&given("third", 32)).await;
    world.done(&RemovePicture { user: ada, catalogue: catalogue() }).await;
    assert_eq!(shown(&world, ada).await, (None, None));
    world.done(&given("fourth", 32)).await;
    world.done(&RemoveUser { user: ada, catalogue: catalogue() }).await;
    assert_eq!(shown(&world, ada).await, (None, None), "what everybody may ask for is there for users alone");
}

#[tokio::test]
async fn what_is_no_picture_or_not_ones_own_is_refused_and_nothing_is_written() {
    let world = World::new().await;
    let (ada, grace) = (world.user("ada", &["admin"]).await, world.user("grace", &["member"]).await);
    let heavy = [png(64, 64), vec![0; Picture::MOST_BYTES]].concat();
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>";
    let files: [(&[u8], &str); 6] = [
        (svg, "picture_format"),
        (b"GIF89a\x40\0\x40\0\0\0\0;", "picture_format"),
        (&png(1_025, 64), "picture_size"),
        (&png(64, 15), "picture_size"),
        (&heavy, "picture_too_large"),
        (b"", "picture_format"),
    ];
    for (file, code) in files {
        let own = world.refused_as(&world.as_user(grace), &SetOwnPicture { picture: sent("id", file) }).await;
        let picture = sent("id", file);
        let given = world.refused(&SetPicture { user: grace, picture, catalogue: catalogue() }).await;
        for refusal in [own, given] {
            assert_eq!((&*refusal.errors()[0].pointer, refusal.errors()[0].code), ("/picture", code));
        }
    }
    let picture = PictureFields { file: "?".to_owned(), id: "id".to_owned() };
    let refusal = world.refused_as(&world.as_user(grace), &SetOwnPicture { picture }).await;
    assert_eq!(refusal.errors()[0].code, "base64");

    let (manager, member) = (world.as_roles(&[Role::Manager]), world.as_user(grace));
    let set = |user| SetPicture { user, picture: sent("id", &png(64, 64)), catalogue: catalogue() };
    let remove = |user| RemovePicture { user, catalogue: catalogue() };
    assert_eq!(world.refused_as(&manager, &set(ada)).await.code(), "exceeds_own_permissions");
    assert_eq!(world.refused_as(&manager, &remove(ada)).await.code(), "exceeds_own_permissions");
    assert_eq!(world.refused_as(&member, &set(ada)).await.code(), "permission_missing");
    assert_eq!(world.refused_as(&member, &remove(ada)).await.code(), "permission_missing");
    let nobody = UserId::new(Uuid::nil());
    assert_eq!(world.refused(&set(nobody)).await.code(), "not_found");
    assert_eq!(world.refused(&remove(nobody)).await.code(), "not_found");
    // A caller who is not a user has no profile.
    assert_eq!(world.refused(&SetOwnPicture { picture: sent("id", &png(64, 64)) }).await.code(), "not_a_user");
    assert_eq!(world.refused(&RemoveOwnPicture).await.code(), "not_a_user");
}

#[tokio::test]
async fn more_than_twenty_pictures_of_a_user_within_a_day_are_refused_whoever_uploads_them() {
    let world = World::new().await;
    let ada = world.user("ada", &["member"]).await;
    let herself = world.as_user(ada);
    for side in 16..36 {
        world.done_as(&herself, &SetOwnPicture { picture: sent("id", &png(side, 64)) }).await;
    }
    let own = SetOwnPicture { picture: sent("id", &png(64, 64)) };
    let given = SetPicture { user: ada, picture: own.picture.clone(), catalogue: catalogue() };
    for refusal in [world.refused_as(&herself, &own).await, world.refused(&given).await] {
        assert_eq!((refusal.kind(), refusal.code()), (Kind::RateLimited, "pictures_set_too_often"));
    }
    world.clock.advance(Duration::days(1));
    world.done_as(&herself, &own).await;
}

#[tokio::test]
async fn a_profile_that_is_sent_back_as_it_is_shown_keeps_the_picture_and_another_one_takes_its_place() {
    let world = World::new().await;
    let ada = world.user("ada", &["member"]).await;
    let herself = world.as_user(ada);
    let upload = |id: &str| SetOwnPicture { picture: sent(id, &png(64, 64)) };
    let profile =
        |picture: Option<String>| ProfileFields { name: "Ada".to_owned(), picture, ..ProfileFields::default() };
    let own = |picture| ChangeOwnProfile { profile: profile(picture) };
    let given = |picture| ChangeProfile { user: ada, profile: profile(picture), catalogue: catalogue() };
    let address = |id: &str| Some(picture_address("http://127.0.0.1:8080", herself.caller.tenant(), id));
    world.done_as(&herself, &upload("first")).await;
    world.done_as(&herself, &own(address("first"))).await;
    world.done(&given(address("first"))).await;
    assert_eq!(shown(&world, ada).await, (Some("first".to_owned()), None));
    // An address of another tenant's picture counts as an external one; these have a form that is not accepted.
    let of_another = picture_address("http://127.0.0.1:8080", testbed::tenant(), "first");
    let within = |end: &str| format!("{}{end}", address("first").unwrap());
    for other in [of_another, address("").unwrap(), within("/"), within("?x"), within("#/pictures/x")] {
        let refusal = world.refused_as(&herself, &own(Some(other.clone()))).await;
        assert_eq!((&*refusal.errors()[0].pointer, refusal.errors()[0].code), ("/picture", "picture"), "{other}");
    }
    // A picture that is left out of the profile is removed, here too.
    world.done(&given(None)).await;
    assert_eq!(shown(&world, ada).await, (None, None));

    world.done_as(&herself, &own(Some("https://example.com/ada.png".to_owned()))).await;
    assert_eq!(shown(&world, ada).await, (None, Some("https://example.com/ada.png".to_owned())));
    world.done_as(&herself, &upload("second")).await;
    assert_eq!(shown(&world, ada).await, (Some("second".to_owned()), None));
    world.done(&given(Some("https://example.com/ada.png".to_owned()))).await;
    assert_eq!(shown(&world, ada).await, (None, Some("https://example.com/ada.png".to_owned())));
    world.done_as(&herself, &RemoveOwnPicture).await;
    assert_eq!(shown(&world, ada).await, (None, None));
}

#[tokio::test]
async fn a_profile_that_was_loaded_before_an_upload_does_not_undo_it() {
    let world = World::new().await;
    let ada = world.user("ada", &["member"]).await;
    let herself = world.as_user(ada);
    let stale = Some(picture_address("https://api.example.com", herself.caller.tenant(), "first"));
    let profile =
        |name: &str| ProfileFields { name: name.to_owned(), picture: stale.clone(), ..ProfileFields::default() };
    let own = |name: &str| ChangeOwnProfile { profile: profile(name) };
    let elsewhere = Some("https://example.com/ada.png".to_owned());
    world.done_as(&herself, &SetOwnPicture { picture: sent("first", &png(64, 64)) }).await;
    world.done_as(&herself, &SetOwnPicture { picture: sent("second", &png(32, 32)) }).await;
    world.done_as(&herself, &own("Ada King")).await;
    assert_eq!(world.state(ada).await.profile.name.reveal(), "Ada King");
    assert_eq!(shown(&world, ada).await, (Some("second".to_owned()), None));
    world.done(&ChangeProfile { user: ada, profile: profile("Ada Byron"), catalogue: catalogue() }).await;
    assert_eq!(shown(&world, ada).await, (Some("second".to_owned()), None));
    // It does not replace an external picture either, or restore one that was removed.
    let typed = ProfileFields { picture: elsewhere.clone(), ..profile("Ada King") };
    world.done_as(&herself, &ChangeOwnProfile { profile: typed }).await;
    world.done_as(&herself, &own("Ada Byron")).await;
    assert_eq!(shown(&world, ada).await, (None, elsewhere));
    world.done_as(&herself, &RemoveOwnPicture).await;
    world.done_as(&herself, &own("Ada King")).await;
    assert_eq!(shown(&world, ada).await, (None, None));
    // A client that wants to detect concurrent changes sends `If-Match`.
    let seen = Request { if_match: Some(Versions::from(1)), ..herself.clone() };
    let refusal = world.refused_as(&seen, &own("Ada")).await;
    assert_eq!(refusal.code(), "version_differs");
}

#[tokio::test]
async fn a_new_user_does_not_have_the_picture_that_somebody_else_uploaded() {
    let world = World::new().await;
    let uploaded = picture_address("https://api.example.com", world.request.caller.tenant(), "first");
    let profile = ProfileFields { picture: Some(uploaded), ..user("ada", &[]).profile };
    let ada = world.done(&RegisterUser { profile, ..user("ada", &[]) }).await;
    assert_eq!(shown(&world, ada).await, (None, None));
}

#[tokio::test]
async fn no_provider_keeps_a_picture_or_takes_it() {
    let world = World::new().await;
    let ada = world.user("ada", &["member"]).await;
    world.done_as(&world.as_user(ada), &SetOwnPicture { picture: sent("first", &png(64, 64)) }).await;
    let user = Provisioned {
        login: LoginFields { email: "ada@example.com".to_owned(), user_name: None },
        profile: ProfileFields { name: "Ada King".to_owned(), ..ProfileFields::default() },
        active: true,
        ..Provisioned::default()
    };
    world.done(&ReplaceUser { id: ada, user, catalogue: catalogue() }).await;
    assert_eq!(world.state(ada).await.profile.name.reveal(), "Ada King");
    assert_eq!(shown(&world, ada).await, (Some("first".to_owned()), None));
}
