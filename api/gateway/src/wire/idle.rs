//! The idle timeout of connections: closes a connection on which no bytes are received or sent for too long, in whatever state it is,
//! such as an incomplete request, or a WebSocket whose client stopped reading.
//!
//! It also closes a connection that receives bytes for as long without sending any: a request head that arrives byte by byte
//! (slowloris). Other requests are answered within `http.timeout_seconds`, which is less, and WebSockets and event streams send more
//! often. hyper's own timeout for request heads would also close connections that only wait for their next request.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A connection that fails with `TimedOut` when it was idle for too long, or received bytes for too long without sending any.
pub(super) struct Connection<T> {
    io: T,
    timeout: Duration,
    /// When bytes were last received or sent.
    last: Instant,
    /// When the first bytes were received since bytes were last sent.
    unanswered_since: Option<Instant>,
    /// The timer. It is not reset with every byte: when it fires, `last` is checked.
    timer: Pin<Box<Sleep>>,
}

impl<T> Connection<T> {
    pub(super) fn new(io: T, timeout: Duration) -> Self {
        Self { io, timeout, last: Instant::now(), unanswered_since: None, timer: Box::pin(sleep(timeout)) }
    }

    /// The result if nothing can be read or written now: pending, or the timeout.
    fn wait<O>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<O>> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let due = self.last + self.timeout;
            if due <= Instant::now() {
                return Poll::Ready(Err(timed_out("the connection was silent for too long")));
            }
            self.timer.as_mut().reset(due);
        }
        Poll::Pending
    }

    /// Records progress if the operation is done; otherwise waits.
    fn settle<O>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<O>>) -> Poll<io::Result<O>> {
        if done.is_pending() {
            return self.wait(cx);
        }
        self.last = Instant::now();
        done
    }

    /// Fails if bytes were received for too long without an answer.
    fn received(&mut self) -> io::Result<()> {
        let since = *self.unanswered_since.get_or_insert(self.last);
        if self.last < since + self.timeout { Ok(()) } else { Err(timed_out("a request took too long to come")) }
    }

    fn sent<O>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<O>>) -> Poll<io::Result<O>> {
        if written.is_ready() {
            self.unanswered_since = None;
        }
        self.settle(cx, written)
    }
}

fn timed_out(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, why)
}

impl<T: AsyncRead + Unpin> AsyncRead for Connection<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        let read = self.settle(cx, read);
        if buffer.filled().len() > before {
            self.received()?;
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.sent(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.sent(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.io).poll_flush(cx) {
            Poll::Pending => self.wait(cx),
            flushed @ Poll::Ready(_) => flushed,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.io).poll_shutdown(cx) {
            Poll::Pending => self.wait(cx),
            shut @ Poll::Ready(_) => shut,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_connection_lives_as_long_as_something_comes_and_goes() {
        let (mut client, server) = duplex(64);
        let mut server = Connection::new(server, TIMEOUT);
        for _ in 0..5 {
            let said = async {
                sleep(TIMEOUT.mul_f64(0.9)).await;
                client.write_u8(7).await
            };
            let (heard, said) = tokio::join!(server.read_u8(), said);
            assert_eq!((heard.unwrap(), said.unwrap()), (7, ()));
            server.write_u8(8).await.unwrap();
        }
        let begin = Instant::now();
        assert_eq!(server.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(begin.elapsed().as_secs(), TIMEOUT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn what_drips_is_cut_unless_it_is_answered() {
        let (mut client, server) = duplex(64);
        let mut server = Connection::new(server, TIMEOUT);
        let step = TIMEOUT / 4;
        for n in 0..12 {
            client.write_u8(7).await.unwrap();
            assert_eq!(server.read_u8().await.unwrap(), 7);
            sleep(step).await;
            if n % 3 == 2 {
                server.write_u8(8).await.unwrap();
            }
        }
        let begin = Instant::now();
        let error = loop {
            client.write_u8(7).await.unwrap();
            match server.read_u8().await {
                Ok(_) => sleep(step).await,
                Err(error) => break error,
            }
        };
        assert_eq!((error.kind(), begin.elapsed()), (io::ErrorKind::TimedOut, TIMEOUT));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_of_which_nothing_is_taken_fails() {
        let (_client, server) = duplex(64);
        let mut server = Connection::new(server, TIMEOUT);
        server.write_all(&[0; 64]).await.unwrap();
        assert_eq!(server.write_all(&[0; 1]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
