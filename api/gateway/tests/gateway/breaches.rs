//! Checks of new passwords against a server with breached passwords, whose API is that of Have I Been Pwned.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use reqwest::StatusCode;
use serde_json::json;
use sha1::{Digest as _, Sha1};
use testbed::Browser;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::issuers::issuer;
use crate::sign_in::{PASSWORD, mailed_link, world_with};

/// A server with breached passwords. It records the requests that it gets, and can be told to fail.
#[derive(Clone, Default)]
struct List {
    asked: Arc<Mutex<Vec<String>>>,
    broken: Arc<Mutex<bool>>,
}

impl List {
    /// Serves these passwords; returns its URL.
    async fn serve(&self, passwords: &[&str]) -> String {
        let mut ranges: HashMap<String, String> = HashMap::new();
        for password in passwords {
            let hash = hex::encode_upper(Sha1::digest(password));
            ranges.insert(hash[..5].to_owned(), format!("{}:7\r\n", &hash[5..]));
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/range", listener.local_addr().unwrap());
        let list = self.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut bytes = [0; 4_096];
                let read = stream.read(&mut bytes).await.unwrap_or_default();
                let request = String::from_utf8_lossy(&bytes[..read]).into_owned();
                let prefix =
                    request.split(' ').nth(1).unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned();
                list.asked.lock().unwrap().push(request);
                let range = ranges
                    .get(&prefix)
                    .cloned()
                    .unwrap_or_else(|| "0018A45C4D1DEF81644B54AB7F969B88D65:0\r\n".to_owned());
                let status = if *list.broken.lock().unwrap() { "503 Service Unavailable" } else { "200 OK" };
                let answer =
                    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{range}", range.len());
                _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        url
    }
}

#[tokio::test]
async fn a_password_that_was_seen_in_a_breach_is_not_taken_and_where_nobody_can_tell_it_is() {
    let list = List::default();
    let url = list.serve(&[PASSWORD]).await;
    let world = world_with("127.0.0.1", |config| config.auth.breaches_url = url).await;
    let action = format!("{}/invitation", issuer(&world));
    let mut links = Vec::new();
    for email in ["ada@example.com", "eve@example.com"] {
        let made = world.post("/v1/user/invitations", json!({ "email": email })).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        links.push(mailed_link(&world, email, "You are invited").await.split_once("link=").unwrap().1.to_owned());
    }
    let accept = async |link: &str, password: &str| {
        let fields = [("link", link), ("name", "Somebody"), ("password", password)];
        Browser::default().submit(&action, &fields).await
    };
    let before = (world.head().await, world.head_of(&world.auth).await);
    let refused = accept(&links[0], PASSWORD).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{refused:?}");
    assert!(refused.alert().contains("seen in a breach"), "{}", refused.alert());
    assert_eq!((world.head().await, world.head_of(&world.auth).await), before, "something was written");
    let asked = list.asked.lock().unwrap().concat();
    let hash = hex::encode_upper(Sha1::digest(PASSWORD));
    assert!(asked.starts_with(&format!("GET /range/{} HTTP/1.1\r\n", &hash[..5])), "{asked}");
    assert!(!asked.contains(&hash[5..]) && !asked.contains(PASSWORD), "more than five digits was told: {asked}");
    assert_eq!(accept(&links[0], "umbrella-cactus-violin").await.leads_to().0, "/t/acme/account");
    *list.broken.lock().unwrap() = true;
    assert_eq!(
        accept(&links[1], PASSWORD).await.leads_to().0,
        "/t/acme/account",
        "a list that is away keeps people out"
    );
}
