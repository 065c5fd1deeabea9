//! A password is the same password on each keyboard and system, whatever code points they type for its letters.

use chrono::TimeDelta;
use reqwest::StatusCode;
use testbed::Browser;

use crate::world::{Visits, World};

const ADA: &str = "ada@example.com";
/// One password: composed, with accents of their own, and with wide spaces and digits.
const FORMS: [&str; 3] =
    ["grün Café ocelot 7", "gru\u{308}n Cafe\u{301} ocelot 7", "grün\u{3000}Café\u{a0}ocelot\u{3000}\u{ff17}"];

#[tokio::test]
async fn a_password_opens_the_account_however_a_keyboard_types_its_letters() {
    let world = World::start().await;
    let ada = world.person(ADA).await;
    for set in FORMS {
        // No other link is mailed for ten minutes.
        world.clock.advance(TimeDelta::minutes(11));
        world.sets_password(ada, set).await;
        for typed in FORMS {
            let signed_in = Browser::default().signs_in(&world, "login", ADA, typed).await;
            assert_eq!(signed_in.status, StatusCode::SEE_OTHER, "{set:?} is not {typed:?}: {signed_in:?}");
        }
    }
    // Letters without accents, and in another case, are other letters.
    let shown = Browser::default().signs_in(&world, "login", ADA, "grun Cafe ocelot 7").await;
    assert_eq!(shown.status, StatusCode::UNAUTHORIZED, "{shown:?}");
}

#[tokio::test]
async fn a_password_that_is_too_long_once_its_letters_are_written_out_or_that_few_can_type_is_not_set() {
    let world = World::start().await;
    let ada = world.person(ADA).await;
    world.clock.advance(TimeDelta::minutes(11));
    let token = world.password_token(ada).await;
    let before = world.head().await;
    // Each of these stands for eighteen letters.
    let long = "\u{fdfa}".repeat(15);
    for (refused, reason) in [
        (long.as_str(), "at most 256 characters"),
        ("tin-roof\tocelot-parable", "control characters"),
        ("ｐａｓｓｗｏｒｄ１", "too easily guessed"),
    ] {
        let fields = [("token", token.as_str()), ("password", refused)];
        let shown = Browser::default().fill_in(&world, "password", &fields).await;
        assert!(shown.body.contains(reason), "{refused:?}: {shown:?}");
        assert!(!shown.body.contains("maxlength"), "a browser would cut a long one, differently on each keyboard");
    }
    assert_eq!(world.head().await, before, "something was written");
}
