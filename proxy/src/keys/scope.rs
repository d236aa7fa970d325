use rungs::Error;
use serde::{Deserialize, Serialize};

/// A family of routes that a key may be held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// `/v1/chat/completions` and `/v1/chat`.
    Chat,
    /// `/v1/embeddings`.
    Embeddings,
    /// `/v1/models`.
    Models,
    /// `/v1/route` and `/v1/route/explain`.
    Route,
    /// `/v1/context` and `/v1/todos`.
    Conversations,
    /// `/v1/code-agent`.
    Agent,
    /// `/metrics`.
    Metrics,
    /// `/openapi.json`.
    Openapi,
    /// `/mcp`.
    Mcp,
}

impl Scope {
    pub(crate) const ALL: [Self; 9] = [
        Self::Chat,
        Self::Embeddings,
        Self::Models,
        Self::Route,
        Self::Conversations,
        Self::Agent,
        Self::Metrics,
        Self::Openapi,
        Self::Mcp,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embeddings => "embeddings",
            Self::Models => "models",
            Self::Route => "route",
            Self::Conversations => "conversations",
            Self::Agent => "agent",
            Self::Metrics => "metrics",
            Self::Openapi => "openapi",
            Self::Mcp => "mcp",
        }
    }
}

impl std::str::FromStr for Scope {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == name);
        found.ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            Error::invalid(format!("`{name}` is none of the routes {all}"))
        })
    }
}

/// Some of the scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scopes(u16);

impl Scopes {
    pub(crate) const ALL: Self = Self(u16::MAX);

    /// Those of a key that names none: all but `/metrics`, whose sums are of everybody's calls.
    const UNNAMED: Self = Self(Self::ALL.0 & !(1 << Scope::Metrics as u8));

    /// Those with these names; without names all but `metrics`. A name that this version does not know opens nothing.
    pub(crate) fn named(names: &[String]) -> Self {
        match names {
            [] => Self::UNNAMED,
            names => names.iter().filter_map(|name| name.parse().ok()).collect(),
        }
    }

    pub(crate) const fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    /// Those that are in both.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let bits = scopes.into_iter().map(|scope| 1 << scope as u8);
        Self(bits.fold(0, |all, bit| all | bit))
    }
}
