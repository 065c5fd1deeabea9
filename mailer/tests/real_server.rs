//! Mail to an independent server (aiosmtpd, `tests/outside/`, set up by `scripts/setup test`), over TLS and with a login.
//!
//! Trusted certificates can only be set for a whole process (`SSL_CERT_FILE`), so each mail is sent by a process of its own: this program,
//! run again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use mailer::{Mail, Mailer, Smtp};
use serde_json::Value;

/// The environment variable with the URL to which [`sends_one`] sends its mail.
const URL: &str = "INOPSIO_TEST_SMTP_URL";
const PASSWORD: &str = "p:a/ss@word";
/// The same, percent-encoded.
const ESCAPED: &str = "p%3Aa%2Fss%40word";
const RESULT: &str = "came of it: ";

#[tokio::test]
#[ignore = "a part of the others, which tell it where to send"]
async fn sends_one() {
    let Ok(url) = std::env::var(URL) else { return };
    let smtp = Smtp::new(&url, "Inopsio <no-reply@inopsio.example>").unwrap();
    let mail = Mail {
        id: "0197a8a0-1".to_owned(),
        to: "ada@example.com".to_owned().into(),
        subject: "Hello".to_owned().into(),
        text: "https://example.com/?link=abc\n".to_owned().into(),
    };
    println!("{RESULT}{:?}", smtp.send(&mail).await);
}

/// The aiosmtpd process; killed when dropped.
struct Server {
    child: Child,
    says: Lines<BufReader<ChildStdout>>,
    smtps: u64,
    starttls: u64,
    folder: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A self-signed certificate for `localhost`, and its key.
fn certificate(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (certificate, key)
}

impl Server {
    /// Starts the server for a test; `None` if it is not set up.
    fn start(test: &str) -> Option<Self> {
        let outside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/outside");
        let python = outside.join(".venv-smtp/bin/python");
        if !python.exists() || Command::new("openssl").arg("version").output().is_err() {
            eprintln!(
                "left out: aiosmtpd is not in tests/outside, or there is no openssl; `scripts/setup test` says why"
            );
            return None;
        }
        let folder = std::env::temp_dir().join(format!("inopsio-mail-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (certificate, key) = certificate(&folder, "server");
        let mut child = Command::new(python)
            .arg(outside.join("smtp.py"))
            .env("CERTIFICATE", certificate)
            .env("KEY", key)
            .env("LOGIN", "inopsio")
            .env("PASSWORD", PASSWORD)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let says = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut server = Self { child, says, smtps: 0, starttls: 0, folder };
        let listens = server.next();
        server.smtps = listens["smtps"].as_u64().unwrap();
        server.starttls = listens["starttls"].as_u64().unwrap();
        Some(server)
    }

    /// The next line of its output.
    fn next(&mut self) -> Value {
        serde_json::from_str(&self.says.next().unwrap().unwrap()).unwrap()
    }

    /// The result of sending a mail to this URL, with this certificate trusted.
    fn sent(url: &str, trusted: &Path) -> String {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["sends_one", "--exact", "--ignored", "--nocapture"])
            .env(URL, url)
            .env("SSL_CERT_FILE", trusted)
            .env_remove("SSL_CERT_DIR")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let result = said.lines().find_map(|line| Some(line.split_once(RESULT)?.1.to_owned()));
        result.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)))
    }

    fn its_own(&self) -> PathBuf {
        self.folder.join("server.pem")
    }
}

#[test]
fn a_mail_goes_over_tls_with_the_login_of_the_url() {
    let Some(mut server) = Server::start("sent") else { return };
    for url in [
        format!("smtps://inopsio:{ESCAPED}@localhost:{}", server.smtps),
        format!("smtp://inopsio:{ESCAPED}@localhost:{}?tls=required", server.starttls),
    ] {
        assert_eq!(Server::sent(&url, &server.its_own()), "Ok(())", "{url}");
        let mail = server.next();
        assert_eq!((&mail["tls"], &mail["let_in"]), (&Value::Bool(true), &Value::Bool(true)), "{url}: {mail}");
        assert_eq!(mail["from"], "no-reply@inopsio.example");
        assert_eq!(mail["to"], serde_json::json!(["ada@example.com"]));
        assert!(mail["text"].as_str().unwrap().contains("https://example.com/?link=abc"), "{mail}");
    }
}

#[test]
fn without_tls_the_right_login_or_a_certificate_that_holds_nothing_goes_and_it_is_tried_again() {
    let Some(mut server) = Server::start("refused") else { return };
    let (stranger, _) = certificate(&server.folder, "stranger");
    let (own, smtps, starttls) = (server.its_own(), server.smtps, server.starttls);
    for (url, trusted, code) in [
        (format!("smtps://inopsio:wrong@localhost:{smtps}"), &own, Some("535")),
        (format!("smtp://inopsio:wrong@localhost:{starttls}?tls=required"), &own, Some("535")),
        (format!("smtps://localhost:{smtps}"), &own, Some("530")),
        (format!("smtp://localhost:{starttls}?tls=required"), &own, Some("530")),
        (format!("smtp://localhost:{starttls}"), &own, Some("530")),
        // Without TLS the server does not offer a login, and the password is not sent.
        (format!("smtp://inopsio:{ESCAPED}@localhost:{starttls}"), &own, None),
        (format!("smtps://inopsio:{ESCAPED}@localhost:{smtps}"), &stranger, None),
        (format!("smtp://inopsio:{ESCAPED}@localhost:{starttls}?tls=required"), &stranger, None),
        // The certificate is for another host.
        (format!("smtps://inopsio:{ESCAPED}@127.0.0.1:{smtps}"), &own, None),
    ] {
        let result = Server::sent(&url, trusted);
        assert!(result.starts_with("Err(Transient("), "{url}: {result}");
        assert!(code.is_none_or(|code| result.contains(code)), "{url}: {result}");
        assert!(!result.contains(PASSWORD) && !result.contains(ESCAPED), "{result}");
    }
    // Its output until a mail is accepted: it refused the wrong password, and accepted nothing.
    let url = format!("smtps://inopsio:{ESCAPED}@localhost:{smtps}");
    assert_eq!(Server::sent(&url, &own), "Ok(())");
    let mut refused = 0;
    let taken = loop {
        let said = server.next();
        if said["refused"].is_null() {
            break said;
        }
        assert_eq!(said["refused"], "inopsio");
        refused += 1;
    };
    assert_eq!(taken["let_in"], true);
    assert!(refused >= 2, "{refused}");
}
