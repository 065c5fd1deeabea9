//! A minimal keep-alive HTTP/1.1 connection: it shares the machine's cores with the server that is measured, so it must be cheap.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection to a server under test. It handles one request at a time.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

/// The response to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// HTTP status.
    pub status: u16,
    /// Status line and headers.
    pub head: &'a [u8],
    /// The whole body.
    pub body: &'a [u8],
}

impl Connection {
    /// Connects.
    pub async fn open(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(4096) })
    }

    /// Sends a rendered request and waits for the whole response. A response without `content-length` is an error, because no server under
    /// test sends one to a command.
    pub async fn send(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.received.clear();
        let mut expected = None;
        loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(Error::new(ErrorKind::UnexpectedEof, "the server closed the connection"));
            }
            if expected.is_none() {
                expected = head_length(&self.received)
                    .map(|head| body_length(&self.received[..head]).map(|body| (head, body)))
                    .transpose()?;
            }
            if let Some((head, body)) = expected
                && self.received.len() >= head + body
            {
                return Ok(Answer {
                    status: status(&self.received)?,
                    head: &self.received[..head],
                    body: &self.received[head..head + body],
                });
            }
        }
    }
}

impl Answer<'_> {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(self.head, name)
    }
}

/// Length of the head in bytes including the empty line that ends it; none if that has not been received yet.
fn head_length(received: &[u8]) -> Option<usize> {
    received.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (found, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        found.eq_ignore_ascii_case(name.as_bytes()).then(|| std::str::from_utf8(value).ok().map(str::trim))?
    })
}

fn body_length(head: &[u8]) -> Result<usize> {
    header(head, "content-length").and_then(|value| value.parse().ok()).ok_or_else(|| {
        Error::new(ErrorKind::InvalidData, format!("no content-length in {:?}", String::from_utf8_lossy(head)))
    })
}

fn status(received: &[u8]) -> Result<u16> {
    received
        .get(9..12)
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
        .ok_or_else(|| Error::new(ErrorKind::InvalidData, "not an HTTP/1.1 answer"))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Accepts one connection, responds with these pieces in separate writes, and closes it.
    async fn answer_with(pieces: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut request = [0; 64];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            for piece in pieces {
                stream.write_all(piece.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        addr
    }

    #[tokio::test]
    async fn an_answer_may_come_in_pieces() {
        let addr =
            answer_with(&["HTTP/1.1 201 Crea", "ted\r\nX-Position: 7\r\nContent-Length: 5\r", "\n\r\nhe", "llo"]).await;
        let mut connection = Connection::open(addr).await.unwrap();
        let answer = connection.send(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!((answer.status, answer.body), (201, &b"hello"[..]));
        assert_eq!(answer.header("x-position"), Some("7"));
        assert_eq!(answer.header("x-none"), None);
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_an_error() {
        let addr = answer_with(&["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"]).await;
        let mut connection = Connection::open(addr).await.unwrap();
        let error = connection.send(b"GET / HTTP/1.1\r\n\r\n").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_is_an_error() {
        let addr = answer_with(&["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"]).await;
        let mut connection = Connection::open(addr).await.unwrap();
        let error = connection.send(b"GET / HTTP/1.1\r\n\r\n").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
}
