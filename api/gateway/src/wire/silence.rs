//! Connections on which nothing comes or goes for too long are cut, whatever they are in the middle of: a request of which the
//! rest never comes, a websocket whose client takes nothing any more.
//!
//! So are those on which something comes, byte by byte, to which nothing can be said for as long: the head of a request that
//! drips. (What follows a head is answered within `http.timeout_seconds`, which is less; websockets and streams of events are
//! written to more often. hyper's own limit for heads would also end connections that only wait for their next request.)

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A connection that fails once nothing has come or gone for too long, or once what came is too long without an answer.
pub(super) struct Connection<T> {
    io: T,
    patience: Duration,
    /// When something last came or went.
    last: Instant,
    /// When the first of that came to which nothing was said yet.
    asked: Option<Instant>,
    /// Not moved with each byte: it is looked at `last` when it rings.
    alarm: Pin<Box<Sleep>>,
}

impl<T> Connection<T> {
    pub(super) fn new(io: T, patience: Duration) -> Self {
        Self { io, patience, last: Instant::now(), asked: None, alarm: Box::pin(sleep(patience)) }
    }

    /// What is answered where nothing can be read or written now.
    fn wait<O>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<O>> {
        while self.alarm.as_mut().poll(cx).is_ready() {
            let due = self.last + self.patience;
            if due <= Instant::now() {
                return Poll::Ready(Err(timed_out("the connection was silent for too long")));
            }
            self.alarm.as_mut().reset(due);
        }
        Poll::Pending
    }

    fn settle<O>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<O>>) -> Poll<io::Result<O>> {
        if done.is_pending() {
            return self.wait(cx);
        }
        self.last = Instant::now();
        done
    }

    /// Whether what came could be answered by now, had it been a request.
    fn heard(&mut self) -> io::Result<()> {
        let asked = *self.asked.get_or_insert(self.last);
        if self.last < asked + self.patience { Ok(()) } else { Err(timed_out("a request took too long to come")) }
    }

    fn said<O>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<O>>) -> Poll<io::Result<O>> {
        if written.is_ready() {
            self.asked = None;
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
            self.heard()?;
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.said(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.said(cx, written)
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

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_connection_lives_as_long_as_something_comes_and_goes() {
        let (mut client, server) = duplex(64);
        let mut server = Connection::new(server, PATIENCE);
        for _ in 0..5 {
            let said = async {
                sleep(PATIENCE.mul_f64(0.9)).await;
                client.write_u8(7).await
            };
            let (heard, said) = tokio::join!(server.read_u8(), said);
            assert_eq!((heard.unwrap(), said.unwrap()), (7, ()));
            server.write_u8(8).await.unwrap();
        }
        let begin = Instant::now();
        assert_eq!(server.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(begin.elapsed().as_secs(), PATIENCE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn what_drips_is_cut_unless_it_is_answered() {
        let (mut client, server) = duplex(64);
        let mut server = Connection::new(server, PATIENCE);
        let step = PATIENCE / 4;
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
        assert_eq!((error.kind(), begin.elapsed()), (io::ErrorKind::TimedOut, PATIENCE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_of_which_nothing_is_taken_fails() {
        let (_client, server) = duplex(64);
        let mut server = Connection::new(server, PATIENCE);
        server.write_all(&[0; 64]).await.unwrap();
        assert_eq!(server.write_all(&[0; 1]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
