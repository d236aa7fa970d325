use serde::{Deserialize, Serialize};

use super::Price;

/// How soon a provider answers, which has its price: OpenAI calls it the service tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceClass {
    /// As usual.
    #[default]
    Standard,
    /// Within a day, in a batch.
    Batch,
    /// When there is room.
    Flex,
    /// Ahead of others.
    Priority,
}

impl ServiceClass {
    /// Reads a `service_tier`, of a request or of an answer. What has no price of its own is as usual.
    #[must_use]
    pub fn from_service_tier(name: &str) -> Self {
        match name {
            "batch" => Self::Batch,
            "flex" => Self::Flex,
            "priority" | "fast" | "ultrafast" => Self::Priority,
            _ => Self::Standard,
        }
    }
}

/// Prices other than the usual one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClassPrices {
    /// The price in a batch.
    pub batch: Option<Price>,
    /// The price when there is room.
    pub flex: Option<Price>,
    /// The price ahead of others.
    pub priority: Option<Price>,
}
