//! The layers, one concern a folder. Each is generic tower middleware that works alone in anybody's `ServiceBuilder`.

pub mod breaker;
pub mod budget;
pub mod cache;
pub mod commit;
pub mod conversation;
pub mod cost;
pub mod cross_check;
pub mod drain;
pub mod escalate;
pub mod idempotency;
pub mod in_flight;
pub mod rate;
pub mod retry;
pub mod timeout;
pub mod trace;
