use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_util::{StreamExt, future::BoxFuture};

use super::{
    buffer::{Buffer, Found, LEADER},
    flights::{Flights, Name},
    reader::Reader,
    signal::Signal,
};
use crate::{
    error::{Error, ErrorKind},
    model::{CallContext, End, Frame, ModelBody, ModelResponse, ResponseMeta},
};

/// A call of the inner service on its way to an answer.
pub(super) type Answering = BoxFuture<'static, Result<ModelResponse, Error>>;

/// One call of the inner service whose answer several calls read.
///
/// The flight owns the call and then its body, and whoever reads drives them: a reader that finds nothing new polls the work
/// under the lock, with a waker that wakes all readers. So nobody has to hand anything over when the leader leaves, no task is
/// spawned, and when the last reader has left the work is dropped and the connection closes.
pub(super) struct Flight {
    home: Arc<Flights>,
    name: Name,
    leader: CallContext,
    signal: Arc<Signal>,
    state: Mutex<State>,
}

struct State {
    work: Work,
    head: Option<Head>,
    buffer: Buffer,
    end: Option<Result<End, Error>>,
    listed: bool,
}

enum Work {
    Answering(Answering),
    Reading(Box<ModelBody>),
    Done,
}

/// What is known before the first payload.
#[derive(Clone)]
struct Head {
    meta: ResponseMeta,
    whole: bool,
}

/// What a call gets out of a flight once the inner service has answered.
pub(super) struct Landed {
    pub(super) meta: ResponseMeta,
    /// The answer, if it came in one piece; else it is read payload by payload.
    pub(super) whole: Option<(Bytes, End)>,
}

impl Flight {
    pub(super) fn begin(
        home: Arc<Flights>,
        name: Name,
        answering: Answering,
        leader: CallContext,
        limit: usize,
    ) -> (Arc<Self>, Reader) {
        let state = State {
            work: Work::Answering(answering),
            head: None,
            buffer: Buffer::new(limit),
            end: None,
            listed: true,
        };
        let flight = Arc::new(Self {
            home,
            name,
            leader,
            signal: Signal::raised(),
            state: Mutex::new(state),
        });
        let reader = Reader::new(Arc::clone(&flight), LEADER);
        (flight, reader)
    }

    /// One more reader, from the first payload on; `None` if that is gone, or if the answer failed or was given up.
    pub(super) fn join(self: &Arc<Self>) -> Option<Reader> {
        let mut state = self.state();
        let failed = matches!(state.end, Some(Err(_)));
        if failed || state.buffer.is_full() || state.buffer.is_deserted() {
            return None;
        }
        let id = state.buffer.join();
        drop(state);
        Some(Reader::new(Arc::clone(self), id))
    }

    /// The call that pays.
    pub(super) fn leader(&self) -> &CallContext {
        &self.leader
    }

    pub(super) fn poll_landed(&self, id: u64, waker: &Waker) -> Poll<Result<Landed, Error>> {
        self.poll(id, waker, |state| state.landed(id))
    }

    pub(super) fn poll_frame(&self, id: u64, waker: &Waker) -> Poll<Result<Frame, Error>> {
        self.poll(id, waker, |state| state.frame(id))
    }

    /// Reads what is there, or else drives the work.
    fn poll<T>(&self, id: u64, waker: &Waker, read: impl Fn(&mut State) -> Option<T>) -> Poll<T> {
        let mut state = self.state();
        let found = loop {
            if let Some(found) = read(&mut state) {
                break Poll::Ready(found);
            }
            self.signal.wait(id, waker);
            if state.buffer.holds(id) || !self.signal.take() {
                break Poll::Pending;
            }
            let waker = Waker::from(Arc::clone(&self.signal));
            if state.advance(&mut Context::from_waker(&waker)).is_pending() {
                break Poll::Pending;
            }
            self.signal.raise(Some(id));
        };
        // Somebody may be waiting for this reader to catch up.
        if found.is_ready() && state.buffer.is_full() {
            self.signal.raise(Some(id));
        }
        let closes = state.closes();
        drop(state);
        if closes {
            self.home.remove(&self.name, self);
        }
        found
    }

    pub(super) fn leave(&self, id: u64) {
        let mut state = self.state();
        state.buffer.leave(id);
        let mut work = Work::Done;
        if state.buffer.is_deserted() {
            mem::swap(&mut work, &mut state.work);
        }
        let closes = state.closes();
        drop(state);
        if closes {
            self.home.remove(&self.name, self);
        }
        // Outside the lock: taps hear that the answer was cut.
        drop(work);
        self.signal.raise(None);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn landed(&mut self, id: u64) -> Option<Result<Landed, Error>> {
        if let Some(Err(error)) = &self.end
            && self.head.as_ref().is_none_or(|head| head.whole)
        {
            return Some(Err(error.clone()));
        }
        let Head { meta, whole } = self.head.as_ref()?;
        let whole = match (whole, &self.end) {
            (false, _) => None,
            (true, None) => return None,
            (true, Some(end)) => match (self.buffer.read(id), end) {
                (Found::Data(data), Ok(end)) => Some((data, end.clone())),
                _ => return Some(Err(lost())),
            },
        };
        let meta = meta.clone();
        Some(Ok(Landed { meta, whole }))
    }

    fn frame(&mut self, id: u64) -> Option<Result<Frame, Error>> {
        match self.buffer.read(id) {
            Found::Data(data) => Some(Ok(Frame::Data(data))),
            Found::Nothing => self.end.clone().map(|end| end.map(Frame::End)),
            Found::Lost => Some(Err(Error::new(
                ErrorKind::Overloaded,
                "the answer is shared with another call, and this one read it too slowly; ask again",
            ))),
        }
    }

    /// Polls the work once; ready if there is something new, also a failure.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // If the work panics it is gone, and whoever comes next finds that out.
        match mem::replace(&mut self.work, Work::Done) {
            Work::Answering(mut answering) => match answering.as_mut().poll(cx) {
                Poll::Pending => {
                    self.work = Work::Answering(answering);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(ModelResponse { meta, body })) => {
                    let whole = body.is_whole();
                    self.head = Some(Head { meta, whole });
                    self.work = Work::Reading(Box::new(body));
                }
                Poll::Ready(Err(error)) => self.end = Some(Err(error)),
            },
            Work::Reading(mut body) => match body.poll_next_unpin(cx) {
                Poll::Pending => {
                    self.work = Work::Reading(body);
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(Frame::Data(data)))) => {
                    self.buffer.push(data);
                    self.work = Work::Reading(body);
                }
                Poll::Ready(Some(Ok(Frame::End(end)))) => self.end = Some(Ok(end)),
                Poll::Ready(Some(Err(error))) => self.end = Some(Err(error)),
                Poll::Ready(None) => self.end = Some(Err(lost())),
            },
            Work::Done => self.end = Some(Err(lost())),
        }
        Poll::Ready(())
    }

    /// Whether the flight must come off the list now; says so once.
    fn closes(&mut self) -> bool {
        let over = self.end.is_some() || self.buffer.is_full() || self.buffer.is_deserted();
        over && mem::replace(&mut self.listed, false)
    }
}

fn lost() -> Error {
    Error::internal("an answer that several calls share was lost")
}
