//! The times over which budgets count.

mod period;
mod span;
mod zone;

pub use span::Window;
pub use zone::Zone;
