//! The account page with the picture of the signed-in user: its forms, and what they refuse. (With the user service behind it:
//! `pictures.rs` of the gateway's tests.)

use auth_commands::{EndSessions, Reach};
use chrono::TimeDelta;
use kernel::Picture;
use reqwest::StatusCode;
use testbed::{Browser, upload_form};

use crate::world::{PASSWORD, Visits, World};

const ADA: &str = "ada@example.com";

/// The head of a PNG file of 16 × 16 pixels, with zeros up to this length.
fn png(length: usize) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x06\0\0\0".to_vec();
    file.resize(length, 0);
    file
}

async fn signed_in(world: &World) -> Browser {
    world.person(ADA).await;
    let mut browser = Browser::default();
    let shown = browser.signs_in(world, "login", ADA, PASSWORD).await;
    assert_eq!(shown.leads_to().0, "/t/acme/account");
    browser
}

#[tokio::test]
async fn somebody_uploads_their_picture_on_the_account_page_sees_it_and_removes_it() {
    let world = World::start().await;
    let mut browser = signed_in(&world).await;
    let page = browser.visit(&world, "account").await;
    assert!(page.body.contains(">AL</div>"), "the initials: {page:?}");
    // A picture on another server is named, and not loaded.
    assert!(page.body.contains("https://example.com/ada.png") && !page.body.contains("<img"), "{page:?}");
    assert!(page.header("content-security-policy").contains("img-src 'self' data:;"), "{page:?}");
    for part in [
        "enctype=\"multipart/form-data\"",
        "for=\"picture\"",
        "id=\"picture\"",
        "accept=\"image/png,image/jpeg,image/webp\"",
        "aria-describedby=\"picture-allowed\"",
        "id=\"picture-allowed\"",
        "up to 64 KiB, 16 to 1024 pixels",
    ] {
        assert!(page.body.contains(part), "{part}: {page:?}");
    }
    let path = format!("{}/account/picture", world.issuer());
    assert_eq!(browser.upload(&path, "picture", &png(100)).await.leads_to().0, "/t/acme/account");
    let id = world.person_of(ADA).await.uploaded_picture.unwrap();
    let page = browser.visit(&world, "account").await;
    assert_eq!(page.status, StatusCode::OK, "the session goes on: {page:?}");
    assert!(page.body.contains(&format!("src=\"/t/acme/pictures/{id}\" alt=\"Your picture\"")), "{page:?}");
    let removed = browser.fill_in(&world, "account/picture/remove", &[]).await;
    assert_eq!(removed.leads_to().0, "/t/acme/account");
    assert_eq!(world.person_of(ADA).await.uploaded_picture, None);
    let page = browser.visit(&world, "account").await;
    assert!(page.body.contains("You have no picture.") && !page.body.contains("Remove the picture"), "{page:?}");
}

#[tokio::test]
async fn what_is_no_allowed_picture_or_comes_from_elsewhere_changes_nothing() {
    let world = World::start().await;
    let mut browser = signed_in(&world).await;
    let path = format!("{}/account/picture", world.issuer());
    let before = (world.head().await, world.person_of(ADA).await);
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>".to_vec();
    for (file, status, text) in [
        (Vec::new(), StatusCode::BAD_REQUEST, "Choose a file first"),
        (svg, StatusCode::BAD_REQUEST, "allowed are PNG, JPEG and WebP"),
        (png(Picture::MOST_BYTES + 1), StatusCode::BAD_REQUEST, "allowed are 64 KiB"),
        (png(1 << 20), StatusCode::PAYLOAD_TOO_LARGE, "allowed are 64 KiB"),
    ] {
        let refused = browser.upload(&path, "picture", &file).await;
        assert_eq!(refused.status, status, "{text}: {refused:?}");
        assert!(refused.alert().contains(text), "{text}: {refused:?}");
        assert!(refused.body.contains("aria-invalid=\"true\"") && refused.body.contains("Sign out"), "{refused:?}");
        // The message stands beside the field, which has the focus, and is read out with it.
        for part in ["aria-describedby=\"picture-refused picture-allowed\"", "id=\"picture-refused\" role=\"alert\""] {
            assert!(refused.body.contains(part), "{part}: {refused:?}");
        }
    }
    let of_another_kind = browser.fill_in(&world, "account/picture", &[("picture", "x")]).await;
    assert_eq!(of_another_kind.status, StatusCode::BAD_REQUEST, "{of_another_kind:?}");
    for (name, value) in [("origin", "https://evil.example.com"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
    {
        let upload = upload_form(world.http.post(&path), "picture", &png(100));
        for request in [upload, world.post("account/picture/remove", &[])] {
            let foreign = browser.send(request.header(name, value)).await;
            assert_eq!(foreign.status, StatusCode::BAD_REQUEST, "{name}: {value}");
        }
    }
    let mut stranger = Browser::default();
    assert_eq!(stranger.upload(&path, "picture", &png(100)).await.leads_to().0, "/t/acme/login");
    assert_eq!(stranger.fill_in(&world, "account/picture/remove", &[]).await.leads_to().0, "/t/acme/login");
    assert_eq!((world.head().await, world.person_of(ADA).await), before, "something changed");
}

#[tokio::test]
async fn attack_188_a_picture_that_is_still_being_sent_when_the_session_ends_changes_nothing() {
    let world = World::start().await;
    let mut browser = signed_in(&world).await;
    world.clock.advance(TimeDelta::seconds(1));
    let before = world.person_of(ADA).await;
    let ends = EndSessions { user: before.id, reason: "lost a laptop".to_owned(), reach: Reach::Everything };
    // The session was valid when the request began. Its body is read after that, as late as the sender likes.
    let gate = world.people.hold(0);
    let path = format!("{}/account/picture", world.issuer());
    let picture = png(100);
    let sent = browser.upload(&path, "picture", &picture);
    let meanwhile = gate.meanwhile(async { world.run_as_admin(&ends).await });
    let (late, ()) = tokio::join!(sent, meanwhile);
    assert_eq!(late.leads_to().0, "/t/acme/login", "{late:?}");
    assert_eq!(world.person_of(ADA).await, before, "the picture changed");
    assert_eq!(world.last_event().await.0, "auth.account.sessions_ended");
}
