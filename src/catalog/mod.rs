//! What exists and what it costs: tiers, deployments, capabilities, prices, money.

mod class;
mod deployment;
mod money;
mod price;
mod targets;
mod tier;

pub use class::{ClassPrices, ServiceClass};
pub use deployment::{Capabilities, Capability, Deployment, DeploymentId, Thinking};
pub use money::Money;
pub(crate) use price::amount;
pub use price::{Price, Rates};
pub use targets::Targets;
pub use tier::Tier;

#[cfg(test)]
mod tests;
