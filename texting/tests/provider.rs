//! Messages over HTTP, to a server that answers like a provider.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use kernel::TenantId;
use testbed::receiver::{Receiver, Reply};
use texting::{Text, TextError, TextMessages, Twilio};
use uuid::Uuid;

#[expect(clippy::disallowed_methods, reason = "a test's tenant")]
fn text() -> Text {
    Text {
        id: "1".to_owned(),
        tenant: TenantId::vouched(Uuid::from_u128(1)),
        asker: Uuid::from_u128(2),
        to: "+4930123456".to_owned().into(),
        text: "Your code is 123456 & nobody's else.".to_owned().into(),
        good_for: Duration::from_mins(10),
    }
}

fn provider(receiver: &Receiver, from: &str) -> Twilio {
    let url = receiver.url.replace("http://", "http://AC1:t%40ken@");
    Twilio::new(&format!("{url}/2010-04-01/Accounts/AC1/Messages.json"), from).unwrap()
}

#[tokio::test]
async fn a_message_is_posted_as_the_messages_api_of_twilio_wants_it() {
    let receiver = Receiver::start().await;
    for (from, sender) in [("+15005550006", "From=%2B15005550006"), ("MG12", "MessagingServiceSid=MG12")] {
        provider(&receiver, from).send(&text()).await.unwrap();
        let got = receiver.got().pop().unwrap();
        assert!(got.path.ends_with("/2010-04-01/Accounts/AC1/Messages.json"), "{got:?}");
        assert_eq!(got.headers["content-type"], "application/x-www-form-urlencoded");
        // `AC1:t@ken`
        assert_eq!(got.headers["authorization"], "Basic QUMxOnRAa2Vu");
        let body = "Body=Your+code+is+123456+%26+nobody%27s+else.";
        let wanted = format!("To=%2B4930123456&{sender}&{body}&ValidityPeriod=600");
        assert_eq!(got.body, wanted);
    }
}

#[tokio::test]
async fn a_number_that_is_none_is_refused_for_good_and_all_else_may_pass() {
    for (status, passes) in [
        ("400 Bad Request", false),
        ("401 Unauthorized", true),
        ("429 Too Many Requests", true),
        ("503 Service Unavailable", true),
        ("302 Found\r\nlocation: /elsewhere", true),
    ] {
        let receiver = Receiver::answering(move |_, _| Reply::Status(status)).await;
        let error = provider(&receiver, "Inopsio").send(&text()).await.unwrap_err();
        assert_eq!(matches!(error, TextError::Transient(_)), passes, "{status}: {error}");
        let said = error.to_string();
        assert!(said.contains(&status[..3]) && !said.contains("4930123456") && !said.contains("ken"), "{said}");
        assert_eq!(receiver.got().len(), 1, "followed, or sent twice");
    }
}

#[tokio::test]
async fn a_provider_that_is_away_may_come_back() {
    let url = format!("http://AC1:token@127.0.0.1:{}/Messages.json", testbed::free_port());
    let error = Twilio::new(&url, "Inopsio").unwrap().send(&text()).await.unwrap_err();
    assert_eq!(error, TextError::Transient("the provider can't be reached".to_owned()));
}
