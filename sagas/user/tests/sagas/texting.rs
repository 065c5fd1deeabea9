//! `verify_phone`: a requested code is texted once, with every failure injected.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::texting::{Caught, Text, TextError, TextMessages};
use coordinator::{Sagas, Status};
use futures::future::{BoxFuture, ready};
use kernel::{Caller, Role, UserId};
use sagabed::{Bed, Case, Story};
use user_commands::{
    Catalogue, ChangeProfile, CodeKey, GRANTS, LoginFields, ProfileFields, RegisterUser, RequestPhoneVerification,
    TextReach,
};
use user_sagas::Ports;

use crate::provisioning::{ResourcesDouble, ports};

#[derive(Default)]
struct Texted {
    caught: Caught,
}

/// A telephone number that is unique per tenant.
fn number(case: &Case<'_>) -> String {
    format!("+49{}", case.tenant().uuid().as_u128() % 10_u128.pow(10) + 10_u128.pow(10))
}

/// A user with a telephone number, for whom a code is requested.
async fn ask(case: &Case<'_>) -> UserId {
    let register = RegisterUser {
        login: LoginFields { email: format!("ada@{}.example", case.tenant()), user_name: None },
        profile: profile(Some(number(case))),
        roles: vec![],
        groups: vec![],
        catalogue: Catalogue::from(GRANTS.to_vec()),
    };
    let user = case.execute(&register).await;
    let caller = Caller::new(case.tenant(), user.to_string(), &[Role::Member], GRANTS);
    let reach = TextReach { prefixes: Some(Arc::default()) };
    case.bed.executor.run(&caller, &RequestPhoneVerification { user, reach }).await.unwrap();
    user
}

fn profile(phone: Option<String>) -> ProfileFields {
    ProfileFields { name: "Ada".to_owned(), phone, ..ProfileFields::default() }
}

fn sagas(texts: Arc<dyn TextMessages>) -> Sagas {
    user_sagas::sagas(&Ports { texts, ..ports(&ResourcesDouble::default()) })
}

impl Story for Texted {
    fn sagas(&self) -> Sagas {
        sagas(Arc::new(self.caught.clone()))
    }

    fn saga(&self) -> &'static str {
        "verify_phone"
    }

    fn begin<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move { _ = ask(case).await })
    }

    fn done<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let (number, texts) = (number(case), self.caught.all());
            let [text] = texts.iter().filter(|text| *text.to.reveal() == number).collect::<Vec<_>>()[..] else {
                panic!("not one message to {number}");
            };
            let user: UserId = case.listed().await[0].key.parse().unwrap();
            let code = CodeKey::derive(&[7; 32]).code(case.tenant(), user, 1, &number);
            assert!(text.text.reveal().starts_with(&format!("{code} is your code.")), "{}", text.text.reveal());
        })
    }

    fn undone<'a>(&'a self, _: &'a Case<'a>) -> BoxFuture<'a, ()> {
        // A message can't be taken back; nothing else was done.
        Box::pin(async {})
    }
}

#[tokio::test]
async fn a_code_is_sent_to_the_number_that_it_is_for() {
    sagabed::completes(&Texted::default(), GRANTS).await;
}

#[tokio::test]
async fn a_crash_between_any_two_writes_loses_and_doubles_no_text_message() {
    sagabed::survives_each_crash(&Texted::default(), GRANTS).await;
}

#[tokio::test]
async fn events_delivered_again_text_nothing_again() {
    sagabed::bears_repetition(&Texted::default(), GRANTS).await;
}

#[tokio::test]
async fn a_code_that_can_never_be_sent_is_given_up() {
    sagabed::unwinds_from_each_step(&Texted::default(), GRANTS).await;
}

#[tokio::test]
async fn a_code_that_is_to_be_sent_again_while_nobody_runs_is_sent_then() {
    sagabed::catches_up_with_attempts(&Texted::default(), GRANTS).await;
}

#[tokio::test]
async fn a_code_for_a_number_that_changed_before_it_could_be_sent_goes_nowhere() {
    let story = Texted::default();
    let bed = Bed::new(story.sagas(), GRANTS).await;
    let case = bed.case(story.saga());
    let user = ask(&case).await;
    let catalogue = Catalogue::from(GRANTS.to_vec());
    let profile = profile(Some("+4930999999".to_owned()));
    case.execute(&ChangeProfile { user, profile, catalogue }).await;
    let running = bed.start();
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "another number");
    assert_eq!(story.caught.all(), []);
    running.stop().await;
}

/// A provider that refuses all messages, temporarily or for good.
struct Refusing(TextError);

impl TextMessages for Refusing {
    fn send<'a>(&'a self, _: &'a Text) -> BoxFuture<'a, Result<(), TextError>> {
        Box::pin(ready(Err(self.0.clone())))
    }
}

#[tokio::test]
async fn what_is_refused_for_good_or_is_too_much_is_not_tried_again() {
    for (error, status) in [
        (TextError::Refused("no such number".to_owned()), Status::Compensated),
        (TextError::TooMany(Duration::from_hours(1)), Status::Completed),
    ] {
        let bed = Bed::new(sagas(Arc::new(Refusing(error))), GRANTS).await;
        let case = bed.case("verify_phone");
        ask(&case).await;
        let running = bed.start();
        let state = case.end(&running).await;
        case.assert_status(&state, status, "refused");
        running.stop().await;
    }
}

/// A provider whose limit is reached for a moment.
#[derive(Default)]
struct Busy {
    caught: Caught,
    asked: AtomicUsize,
}

impl TextMessages for Busy {
    fn send<'a>(&'a self, text: &'a Text) -> BoxFuture<'a, Result<(), TextError>> {
        match self.asked.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => Box::pin(ready(Err(TextError::TooMany(Duration::from_millis(50))))),
            _ => self.caught.send(text),
        }
    }
}

#[tokio::test]
async fn a_code_whose_turn_comes_while_it_is_good_waits_for_it() {
    let busy = Arc::new(Busy::default());
    let bed = Bed::new(sagas(busy.clone()), GRANTS).await;
    let case = bed.case("verify_phone");
    ask(&case).await;
    let running = bed.start();
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "its turn came");
    assert_eq!((busy.caught.all().len(), busy.asked.load(Ordering::SeqCst)), (1, 3));
    running.stop().await;
}
