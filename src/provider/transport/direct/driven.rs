//! An HTTP/1.1 connection that its call drives.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http1};
use tokio::task::coop::unconstrained;

use super::{answer::Unanswered, connect::Io};

/// How often in a row a connection is polled because it woke itself, before others get their turn.
const ROUNDS: u32 = 8;

/// A connection with one call at a time, and no task of its own: whoever waits for an answer polls the connection, so that what
/// arrives wakes the call itself and not a task in between that has to wake the call.
pub(super) struct Driven {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Driver,
}

impl Driven {
    /// Behind a pointer: it is large, and handed on with each call.
    pub(super) async fn handshake(io: Io) -> hyper::Result<Box<Self>> {
        let (sender, connection) = http1::handshake(io).await?;
        let signal = Arc::new(Signal::default());
        let driver = Driver {
            connection: Some(connection),
            waker: Waker::from(Arc::clone(&signal)),
            signal,
        };
        Ok(Box::new(Self { sender, driver }))
    }

    /// Sends `request` and reads the head of the answer.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Unanswered> {
        // What has come is taken also when the task has used up its turn: only the connection waits for the next one, because the
        // wake that says so is heard of it alone.
        let answering = unconstrained(self.sender.try_send_request(request));
        let mut answering = std::pin::pin!(answering);
        let driver = &mut self.driver;
        let answer = std::future::poll_fn(|cx| driver.poll(cx, |cx| answering.as_mut().poll(cx)));
        answer.await.map_err(Unanswered::from)
    }

    /// What `read` finds, which may come from the connection.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        read: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.driver.poll(cx, read)
    }

    /// Whether it may carry another call. To be asked when nobody reads from it any more.
    pub(super) fn is_free(&mut self) -> bool {
        !self.driver.is_over() && self.sender.is_ready()
    }

    /// Whether it is free as it was when that was last found.
    pub(super) fn is_still_free(&mut self) -> bool {
        self.driver.signal.is_quiet() || self.is_free()
    }
}

/// Polls a connection.
struct Driver {
    /// `None` when it is over.
    connection: Option<http1::Connection<Io, Full<Bytes>>>,
    signal: Arc<Signal>,
    waker: Waker,
}

impl Driver {
    fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut read: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.signal.call.register(cx.waker());
        let mut own = Context::from_waker(&self.waker);
        for _ in 0..ROUNDS {
            self.signal.drive();
            if let Poll::Ready(found) = read(&mut own) {
                return Poll::Ready(found);
            }
            // Reading wakes the connection to say that there is room; it is polled now anyway.
            self.signal.drive();
            let connection = self.connection.as_mut();
            match connection.map(|connection| connection.poll_without_shutdown(&mut own)) {
                Some(Poll::Pending) if self.signal.rest() => return Poll::Pending,
                Some(Poll::Pending) => {}
                // The reader hears why.
                Some(Poll::Ready(_)) => self.connection = None,
                None => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Polls it once, for nobody.
    fn is_over(&mut self) -> bool {
        self.signal.drive();
        self.connection.as_mut().is_none_or(|connection| {
            let mut own = Context::from_waker(&self.waker);
            connection.poll_without_shutdown(&mut own).is_ready()
        })
    }
}

/// The waker of a connection: wakes the call, unless the call is polling the connection just then.
#[derive(Default)]
struct Signal {
    state: AtomicU8,
    call: AtomicWaker,
}

/// Nobody polls: a wake goes to the call.
const RESTING: u8 = 0;
/// The call polls.
const DRIVING: u8 = 1;
/// It was woken meanwhile, or since.
const WOKEN: u8 = 2;

impl Signal {
    fn drive(&self) {
        self.state.store(DRIVING, Ordering::SeqCst);
    }

    /// Whether nothing has happened since [`drive`](Self::drive).
    fn is_quiet(&self) -> bool {
        self.state.load(Ordering::SeqCst) == DRIVING
    }

    /// The same, so that the next wake goes to the call.
    fn rest(&self) -> bool {
        let changed =
            self.state
                .compare_exchange(DRIVING, RESTING, Ordering::SeqCst, Ordering::SeqCst);
        changed.is_ok()
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::SeqCst) == RESTING {
            self.call.wake();
        }
    }
}
