//! Connections on which nothing comes or goes for too long are cut, whatever they are in the middle of: a request of which the
//! rest never comes, a websocket whose client takes nothing any more. (poem's own idle timeout asks such a connection to finish
//! what it is in the middle of, and waits for it for ever.)

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use poem::http::uri::Scheme;
use poem::listener::Acceptor;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Accepts connections that are cut after so long a silence.
pub struct Impatient<A> {
    inner: A,
    patience: Duration,
}

impl<A> Impatient<A> {
    /// Accepts what `inner` accepts.
    pub fn new(inner: A, patience: Duration) -> Self {
        Self { inner, patience }
    }
}

impl<A: Acceptor> Acceptor for Impatient<A> {
    type Io = Connection<A::Io>;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.inner.local_addr()
    }

    async fn accept(&mut self) -> io::Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        let (io, local, remote, scheme) = self.inner.accept().await?;
        Ok((Connection::new(io, self.patience), local, remote, scheme))
    }
}

/// A connection that fails once nothing has come or gone for too long.
pub struct Connection<T> {
    io: T,
    patience: Duration,
    /// When something last came or went.
    last: Instant,
    /// Not moved with each byte: it is looked at `last` when it rings.
    alarm: Pin<Box<Sleep>>,
}

impl<T> Connection<T> {
    fn new(io: T, patience: Duration) -> Self {
        Self { io, patience, last: Instant::now(), alarm: Box::pin(sleep(patience)) }
    }

    /// What is answered where nothing can be read or written now.
    fn wait<O>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<O>> {
        while self.alarm.as_mut().poll(cx).is_ready() {
            let due = self.last + self.patience;
            if due <= Instant::now() {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the connection was silent for too long",
                )));
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
}

impl<T: AsyncRead + Unpin> AsyncRead for Connection<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        self.settle(cx, read)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.settle(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.settle(cx, written)
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
    async fn a_connection_lives_as_long_as_something_comes() {
        let (mut client, server) = duplex(64);
        let mut server = Connection::new(server, PATIENCE);
        for _ in 0..5 {
            let said = async {
                sleep(PATIENCE.mul_f64(0.9)).await;
                client.write_u8(7).await
            };
            let (heard, said) = tokio::join!(server.read_u8(), said);
            assert_eq!((heard.unwrap(), said.unwrap()), (7, ()));
        }
        let begin = Instant::now();
        assert_eq!(server.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(begin.elapsed().as_secs(), PATIENCE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_of_which_nothing_is_taken_fails() {
        let (_client, server) = duplex(64);
        let mut server = Connection::new(server, PATIENCE);
        server.write_all(&[0; 64]).await.unwrap();
        assert_eq!(server.write_all(&[0; 1]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
