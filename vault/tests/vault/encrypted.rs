//! TLS with a private certificate authority.

use std::io::{Read, Write};
use std::net::TcpListener;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

const CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/ca.pem");
const ANOTHER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/other-ca.pem");

/// A TLS server that answers every request like a transit key. Its certificate is signed by the authority in the fixtures.
fn serve() -> String {
    let certificate =
        CertificateDer::pem_slice_iter(include_bytes!("../fixtures/server.pem")).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../fixtures/server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(certificate, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream.unwrap());
            let mut head = Vec::new();
            let mut byte = [0];
            // A client that does not trust the certificate ends the connection.
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
                head.extend(byte);
            }
            let body = r#"{"data":{"type":"aes256-gcm96","derived":true,"latest_version":1}}"#;
            let _ =
                write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    address
}

#[tokio::test]
async fn who_is_signed_by_the_authority_of_the_file_is_believed_and_nobody_else() {
    let address = serve();
    let by = |ca: &str| {
        let settings = Settings {
            address: address.clone(),
            namespace: None,
            credentials: given("hvs.token"),
            ca_file: Some(ca.into()),
            patience: LONG,
        };
        key_with(settings, "transit:transit/inopsio")
    };
    by(CA).check().await.unwrap();
    let refused = by(ANOTHER).check().await.unwrap_err().to_string();
    assert!(refused.contains("does not answer") && refused.contains("certificate"), "{refused}");
}

#[test]
fn a_file_without_a_certificate_is_named() {
    let settings = Settings {
        address: "https://127.0.0.1:8200".to_owned(),
        namespace: None,
        credentials: given("hvs.token"),
        ca_file: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into()),
        patience: LONG,
    };
    let refused = Client::open(settings).unwrap_err().to_string();
    assert!(refused.contains("Cargo.toml") && refused.contains("no certificate"), "{refused}");
}
